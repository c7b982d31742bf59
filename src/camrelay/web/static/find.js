// Finding a camera: search, sign in to it, choose a stream by its picture, name it, see it live.
//
// Nothing is registered before the last button. A camera's password stays in this module and goes nowhere but to
// camrelay, with the requests that need it.

import { currentToken, onToken } from "./account.js";
import { call } from "./api.js";
import { account, role, showEmpty } from "./frame.js";
import "./more_words.js";
import "./player.js";
import { bitRate, number, say, sayIfKnown } from "./text.js";

const SEARCH_S = 5;
/** A probe listens for two key frames, and a device may be slow. */
const PROBE_MS = 70_000;

const find = (id) => document.getElementById(id);
const STEPS = ["search", "sign", "stream", "name", "live"];

/** What was chosen so far: `device` or `url`, the camera's account, and the URL of its stream. */
let chosen = {};
let devices = new Set();
let round = 0;

async function post(path, body, options = {}) {
  return call(path, {
    method: "POST", token: currentToken(), body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" }, timeoutMs: PROBE_MS, ...options,
  });
}

/** Shows a step, with those before it done and those after it gone. */
function go(step, { focus = true } = {}) {
  round += 1;
  for (const [place, name] of STEPS.entries()) {
    const section = find(`step-${name}`);
    section.hidden = place > STEPS.indexOf(step);
    section.toggleAttribute("data-done", place < STEPS.indexOf(step));
    for (const line of section.querySelectorAll(".said, .fault")) line.textContent = "";
  }
  find("step-search").querySelector("h1").textContent = chosen.name && step !== "search" ? chosen.name : say("find.search");
  if (focus) find(`step-${step}`).querySelector("h1, h2").focus();
}

function tell(step, kind, text) {
  find(`step-${step}`).querySelector(`.${kind}`).textContent = text;
}

/** A failure in words: what camrelay said of the request. */
function failure(error) {
  if (error.status === 401 || error.status === 403) return say("find.not_allowed");
  return sayIfKnown(`find.reason.${error.code}`) ?? say("find.reason.other");
}

const reasonWords = (code) => sayIfKnown(`find.reason.${code}`) ?? say("find.reason.other");

// 1. Search.

async function search() {
  chosen = {};
  devices = new Set();
  find("devices").replaceChildren();
  go("search", { focus: false });
  const mine = round;
  find("nothing").hidden = find("search-again").hidden = true;
  tell("search", "said", say("find.listening", { count: 0 }));
  try {
    const answer = await post("/v1/discover", { seconds: SEARCH_S }, { timeoutMs: (SEARCH_S + 10) * 1000 });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (mine !== round) return void reader.cancel();
      const lines = (text + (value ?? "")).split("\n");
      text = lines.pop();
      for (const line of lines) addDevice(JSON.parse(line));
      if (done) break;
      tell("search", "said", say("find.listening", { count: devices.size }));
    }
    tell("search", "said", say("find.found", { count: devices.size }));
    find("nothing").hidden = devices.size > 0;
  } catch (error) {
    if (mine !== round) return;
    if (error.status === 401 || error.status === 403) return void refuse();
    tell("search", "said", failure(error));
  }
  find("search-again").hidden = false;
}

function addDevice(device) {
  devices.add(device);
  const button = document.createElement("button");
  button.type = "button";
  const name = document.createElement("span");
  name.textContent = device.name || device.hardware || device.host;
  const more = document.createElement("small");
  more.textContent = [...new Set([device.hardware, device.host])].filter((text) => text !== name.textContent).join(" · ");
  button.append(name, more);
  button.addEventListener("click", () => choose({
    name: name.textContent,
    device: { host: device.host, port: device.port, tls: device.xaddr.startsWith("https:") },
  }));
  const item = document.createElement("li");
  item.append(button);
  find("devices").append(item);
}

find("search-again").addEventListener("click", search);

find("by-hand").addEventListener("submit", (event) => {
  event.preventDefault();
  const found = parseAddress(find("address").value.trim());
  if (found) choose(found);
  else tell("search", "fault", say("find.bad_address"));
});

/** A device or a stream by what somebody typed; a user and a password inside are taken along, not shown. */
function parseAddress(text) {
  const isUrl = text.includes("://");
  let url;
  try {
    url = new URL((isUrl ? text : `http://${text}`).replace(/^rtsp/i, "http")); // URL reads only schemes it knows
  } catch {
    return null;
  }
  if (/\s/.test(text) || !url.hostname) return null;
  const account = { username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  if (/^rtsps?:/i.test(text)) {
    return { name: url.hostname, url: text.replace(/\/\/[^/@]*@/, "//"), account };
  }
  if (isUrl && !/^https?:/i.test(text)) return null;
  const tls = url.protocol === "https:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return { name: url.hostname, device: { host, port: Number(url.port) || (tls ? 443 : 80), tls }, account };
}

function choose(found) {
  chosen = found;
  find("username").value = found.account?.username ?? "";
  find("password").value = found.account?.password ?? "";
  go("sign");
  find("username").focus();
}

// 2. The camera's account.

find("credentials").addEventListener("submit", async (event) => {
  event.preventDefault();
  chosen.account = { username: find("username").value, password: find("password").value };
  tell("sign", "fault", "");
  if (chosen.url) return void showStream([]);
  const mine = round;
  tell("sign", "said", say("find.asking"));
  busy("sign", true);
  try {
    const finding = await (await post("/v1/probe", { ...chosen.device, ...chosen.account })).json();
    if (mine !== round) return;
    if (finding.reason) throw Object.assign(new Error(finding.reason), { code: finding.reason });
    const offered = finding.device.profiles.filter(({ rtsp_url }) => rtsp_url);
    if (!offered.length) throw Object.assign(new Error("none"), { code: "no_stream" });
    showStream(offered);
  } catch (error) {
    if (mine === round) tell("sign", "fault", failure(error));
  } finally {
    tell("sign", "said", "");
    busy("sign", false);
  }
});

function busy(step, isBusy) {
  find(`step-${step}`).querySelector(".main").disabled = isBusy;
}

// 3. The stream.

function showStream(profiles) {
  go("stream");
  chosen.profiles = profiles;
  const list = find("profiles");
  list.replaceChildren(list.querySelector("legend"));
  for (const profile of profiles) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "profile", value: profile.token });
    const name = document.createElement("span");
    name.textContent = profile.name || profile.token;
    const more = document.createElement("small");
    more.textContent = profileWords(profile);
    label.append(input, name, more);
    input.addEventListener("change", () => preview({ ...chosen.device, profile: profile.token }, profile.rtsp_url));
    list.append(label);
  }
  list.hidden = !profiles.length;
  const first = list.querySelector("input");
  if (first) first.checked = true;
  if (profiles.length) preview({ ...chosen.device, profile: profiles[0].token }, profiles[0].rtsp_url);
  else preview({ url: chosen.url }, chosen.url);
}

function profileWords({ codec, width, height, frame_rate: rate }) {
  const size = width ? say("camera.size", { width, height }) : "";
  return [codec, size && rate ? say("camera.frames", { size, rate: number(rate, 1) }) : size].filter(Boolean).join(" · ");
}

async function preview(where, url) {
  const mine = ++round;
  find("preview").hidden = find("use-stream").hidden = true;
  tell("stream", "fault", "");
  tell("stream", "said", say("find.looking"));
  try {
    const finding = await (await post("/v1/probe", { ...where, ...chosen.account })).json();
    if (mine !== round) return;
    const reason = finding.reason || finding.stream.reason;
    if (reason) throw Object.assign(new Error(reason), { code: reason });
    showPreview(finding.stream);
    chosen.stream = url;
    // Whom to ask for a key frame when a viewer waits for one.
    chosen.onvif = where.profile && !where.tls ? { onvif_port: where.port, onvif_profile: where.profile } : {};
  } catch (error) {
    if (mine === round) tell("stream", "fault", failure(error));
  }
  if (mine === round) tell("stream", "said", "");
}

function showPreview({ video, jpeg, hls, webrtc }) {
  const image = find("preview").querySelector("img");
  image.src = `data:image/jpeg;base64,${jpeg}`;
  image.hidden = !jpeg;
  const size = say("camera.size", video);
  const frames = video.frame_rate ? say("camera.frames", { size, rate: number(video.frame_rate, 1) }) : size;
  find("preview").querySelector(".known").textContent = [frames, bitRate(video.bit_rate_bps)].join(" · ");
  const verdicts = [["hls", hls], ["webrtc", webrtc]].map(([name, { works }]) => item(say(`find.${name}_${works ? "works" : "fails"}`), !works));
  const remarks = [...new Set([...hls.remarks, ...webrtc.remarks])].map((text) => item(text, false));
  find("preview").querySelector(".verdicts").replaceChildren(...verdicts, ...remarks);
  find("preview").hidden = false;
  find("use-stream").hidden = !(hls.works || webrtc.works);
}

function item(text, isBad) {
  const line = document.createElement("li");
  line.textContent = text;
  line.classList.toggle("no", isBad);
  return line;
}

find("use-stream").addEventListener("click", () => {
  if (!find("title").value) find("title").value = chosen.name;
  fillSmaller(chosen.profiles.filter(({ rtsp_url: url }) => url !== chosen.stream));
  go("name");
  find("title").select();
  find("title").focus();
});

// 4. Its name, and who may watch.

/** The device's other streams, one of which may be read beside the chosen one. */
function fillSmaller(others) {
  const options = others.map((profile) => {
    const known = [profile.name || profile.token, profileWords(profile)];
    return new Option(known.filter(Boolean).join(" · "), profile.rtsp_url);
  });
  const list = find("sub-url");
  list.replaceChildren(new Option(say("find.no_smaller"), ""), ...options);
  for (const part of [list, ...list.labels]) part.hidden = !others.length;
}

function fillZones() {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = new Set(["UTC", own, ...Intl.supportedValuesOf("timeZone")]);
  find("zone").replaceChildren(...[...zones].sort().map((zone) => new Option(zone, zone, zone === own, zone === own)));
}

/** An id for a title: what of it may stand in an address. */
function idOf(title) {
  const plain = title.normalize("NFKD").toLowerCase().replace(/[\u0300-\u036f]/g, "");
  return plain.replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 56).replace(/-$/, "") || "camera";
}

async function register(fields) {
  for (let number = 1; ; number += 1) {
    const id = idOf(fields.title) + (number > 1 ? `-${number}` : "");
    try {
      return await (await post("/v1/cameras", { id, ...fields }, { timeoutMs: 10_000 })).json();
    } catch (error) {
      if (error.code !== "camera_exists" || number >= 50) throw error;
    }
  }
}

find("naming").addEventListener("submit", async (event) => {
  event.preventDefault();
  tell("name", "fault", "");
  busy("name", true);
  try {
    const camera = await register({
      url: chosen.stream, ...chosen.account, ...chosen.onvif, title: find("title").value.trim(), time_zone: find("zone").value,
      visibility: new FormData(event.target).get("visibility"), sub_url: find("sub-url").value,
    });
    showLive(camera);
  } catch (error) {
    tell("name", "fault", failure(error));
  } finally {
    busy("name", false);
  }
});

// 5. Live.

function showLive(camera) {
  chosen = { name: camera.title };
  find("password").value = "";
  const player = document.createElement("camera-player");
  player.setAttribute("muted", "");
  player.setAttribute("controls", "");
  player.token = currentToken();
  player.setAttribute("camera", camera.id);
  find("player").replaceChildren(player);
  find("open-camera").href = `/cameras/${camera.id}`;
  go("live");
  // What was added is no choice any more.
  for (const button of document.querySelectorAll(".step .change")) button.hidden = true;
  for (const name of ["sign", "stream", "name"]) find(`step-${name}`).hidden = true;
}

for (const button of document.querySelectorAll(".step .change")) {
  button.addEventListener("click", () => go(button.closest(".step").id.replace("step-", "")));
}

// Who is asking.

function refuse() {
  find("steps").hidden = true;
  const kind = currentToken() || account ? "refused" : "missing";
  showEmpty(say(`find.${kind}_title`), say(`find.${kind}_hint`));
}

function start() {
  find("empty").hidden = true;
  find("steps").hidden = false;
  if (currentToken() || ["operator", "owner"].includes(role)) search();
  else refuse();
}

document.title = `${say("find.search")} · ${say("site.name")}`;
fillZones();
onToken(start);
start();
