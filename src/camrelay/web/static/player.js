// <camera-player>: one camera, live, with or without controls.
//
//   <script type="module" src="https://cams.example/player.js"></script>
//   <camera-player camera="yard" controls muted></camera-player>
//
// Attributes: camera, src (the server; default: where this module came from), token (a grant) or session (the path
// of a media session, "/m/…/yard"), protocol ("auto", "webrtc", "hls"), fit ("contain", "cover"), controls, muted.
// Properties: token, and status (an entry of GET /v1/cameras; without it the player asks for itself).
// Methods: measure(). Events: state {state, reason}, stats {delay_ms, …}, error {code}; they do not bubble.
// Style: parts stage, video, still, notice, stats, controls; --camrelay-accent, -warning, -surface, -radius, -font.
//
// While it is hidden or scrolled away it holds no stream, only its last picture.

import { hasBegun, screen } from "./head_start.js";
import { Playback } from "./playback.js";
import { label, MARKUP, shape, STATE_SHAPE, STYLE } from "./player_look.js";
import * as text from "./text.js";
import { say, sayIfKnown } from "./text.js";

/** Scrolling past or a glance at another tab should not cost a new connection. */
const RELEASE_MS = 1000;
/** Controls leave the picture after this long without a pointer's move. */
const IDLE_MS = 3000;
/** Last pictures are kept small: they are seen blurred or for the fraction of a second. */
const STILL_WIDTH = 640;
const KEPT_WIDTH = 320;
const SEEK_S = 5;
const VOLUME_STEP = 0.1;

/** How a camera's sound is spoken of. */
const CODECS = { aac: "AAC", opus: "Opus", pcmu: "G.711", pcma: "G.711" };

const QUIET = ["connecting", "waiting", "catching-up"];
const FORBIDDEN = ["denied", "signed-out", "ended"];
const ERRORS = [...FORBIDDEN, "offline", "unreachable", "busy", "unsupported"];
const MOVING = ["live", "catching-up"];

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

export class CameraPlayer extends HTMLElement {
  static observedAttributes = ["camera", "src", "token", "session", "protocol", "muted", "controls"];

  #root = this.attachShadow({ mode: "open" });
  #internals = this.attachInternals();
  #playback;
  #state = "idle";
  #detail = {};
  #isOnScreen = false;
  #isPaused = false;
  #releaseTimer = 0;
  #idleTimer = 0;
  #clockTimer = 0;
  #measureTimer = 0;
  #previous = null;
  #observer = new IntersectionObserver((entries) => {
    this.#isOnScreen = entries.at(-1).isIntersecting;
    this.#update();
  }, { rootMargin: "200px" });
  #events = null;

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.innerHTML = MARKUP;
    this.#takeIn(screen());
    label(this.#root);
    this.#internals.role = "region";
    this.#playback = new Playback(this.#part("video"), (state, detail) => this.#show(state, detail));
    this.#playback.server = new URL(import.meta.url);
    this.#listen();
  }

  connectedCallback() {
    this.#events = new AbortController();
    const { signal } = this.#events;
    document.addEventListener("visibilitychange", () => this.#update(), { signal });
    document.addEventListener("fullscreenchange", () => this.#showControls(), { signal });
    addEventListener("pagehide", () => this.#release(), { signal });
    addEventListener("pageshow", () => this.#update(), { signal });
    addEventListener("online", () => this.#playback.nudge(), { signal });
    this.#observer.observe(this);
    this.#recallPicture();
    this.#showControls();
    this.#update();
  }

  disconnectedCallback() {
    this.#events.abort();
    this.#observer.disconnect();
    this.#isOnScreen = false;
    this.#release();
    clearInterval(this.#measureTimer);
    clearInterval(this.#clockTimer);
  }

  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    const playback = this.#playback;
    if (name === "muted") this.#part("video").muted = value !== null;
    else if (name === "controls") this.tabIndex = value === null ? -1 : 0;
    else if (name === "token") playback.setToken(value);
    else {
      playback.forget();
      if (name === "camera") this.#turnTo(value ?? "");
      if (name === "src") playback.server = new URL(value || import.meta.url, document.baseURI);
      if (name === "session") playback.fixedSession = value;
      if (name === "protocol") playback.protocol = ["webrtc", "hls"].includes(value) ? value : "auto";
    }
    playback.lowLatency = this.hasAttribute("controls"); // tiles must not hold a connection each
    if (this.isConnected) {
      this.#showControls();
      this.#update();
    }
  }

  /** The grant, kept out of the page's markup. */
  get token() {
    return this.#playback.token;
  }

  set token(value) {
    this.#playback.setToken(value);
    this.#update();
  }

  get status() {
    return this.#playback.status;
  }

  set status(value) {
    this.#playback.status = value;
    this.#name();
  }

  get state() {
    return this.#state;
  }

  /** What is known about the stream now: {protocol, delay_ms, width, height, …}, or null when nothing plays. */
  async measure() {
    const now = (await this.#playback.transport?.measure()) ?? null;
    if (now?.bytes !== undefined) {
      const before = this.#previous?.bytes <= now.bytes ? this.#previous : null;
      if (before) now.bit_rate_bps = ((now.bytes - before.bytes) * 8000) / (now.at_ms - before.at_ms);
      this.#previous = now;
    }
    return now;
  }

  /** Does what `event`'s key means to the player; for pages in which the player is the only thing to steer. */
  pressKey(event) {
    const isButton = event.composedPath()[0] instanceof HTMLButtonElement;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && isButton) return;
    if (/^Arrow(Up|Down)$/.test(event.key) && this.#part(".mute").disabled) return; // they scroll the page
    const act = {
      " ": () => this.#togglePause(),
      m: () => this.#toggleMute(),
      f: () => this.#toggleFill(),
      ArrowUp: () => this.#turnVolume(VOLUME_STEP),
      ArrowDown: () => this.#turnVolume(-VOLUME_STEP),
      ArrowLeft: () => this.#seek(-SEEK_S),
      ArrowRight: () => this.#seek(SEEK_S),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    this.#stayAwake();
    act();
  }

  // What is on screen, and whether it should be.

  #update() {
    const isWanted = this.isConnected && !document.hidden && this.#isOnScreen && !this.#isPaused
      && (this.#playback.camera || this.#playback.fixedSession);
    clearTimeout(this.#releaseTimer);
    if (isWanted) this.#playback.start();
    else this.#releaseTimer = setTimeout(() => this.#release(), this.#isPaused ? 0 : RELEASE_MS);
  }

  #release() {
    clearTimeout(this.#releaseTimer);
    this.#playback.stop();
  }

  #show(state, detail) {
    if (state === "idle" && this.#isPaused) state = "paused";
    const wasMoving = MOVING.includes(this.#state);
    const hasChanged = state !== this.#state;
    this.#detail = detail;
    if (!hasChanged) return this.#describe();
    if (wasMoving && !MOVING.includes(state)) this.#keepPicture();
    this.#state = state;
    if (FORBIDDEN.includes(state)) this.#forgetPicture();
    this.#part(".stage").dataset.state = state;
    this.setAttribute("state", state);
    clearInterval(this.#clockTimer);
    if (!MOVING.includes(state)) this.#clockTimer = setInterval(() => this.#describe(), 1000);
    this.#previous = null;
    this.#describe();
    this.#showControls();
    this.#stayAwake();
    this.#speak();
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
    if (ERRORS.includes(state)) this.dispatchEvent(new CustomEvent("error", { detail: { code: state } }));
  }

  /** The state in words: a headline, and what to expect. */
  #words() {
    const { since, reason, retryAt } = this.#detail;
    const state = this.#state;
    const zone = this.status?.time_zone;
    const headline = state === "offline" && since
      ? say("state.offline_since", { time: text.clock(since, zone) }) : say(`state.${state}`);
    let hint = state === "offline" ? sayIfKnown(`reason.${reason || "other"}`) ?? say("reason.other")
      : sayIfKnown(`hint.${state}`) ?? "";
    if (state === "ended" && this.#playback.endsAt && this.#playback.endsAt < Date.now() + 1000) {
      hint = say("hint.ended_at", { time: text.clock(this.#playback.endsAt, zone) });
    }
    let retry = "";
    if (retryAt && ["offline", "unreachable", "busy"].includes(state)) {
      const ms = retryAt - Date.now();
      retry = ms > 1000 ? say("hint.retry_in", { time: text.duration(ms) }) : say("hint.retry_now");
    }
    return { headline, hint, retry };
  }

  #describe() {
    const state = this.#state;
    const notice = this.#part(".notice");
    notice.hidden = state === "live" || state === "idle";
    notice.classList.toggle("quiet", QUIET.includes(state));
    if (state in STATE_SHAPE) notice.querySelector("path").setAttribute("d", shape(STATE_SHAPE[state]));
    const { headline, hint, retry } = this.#words();
    put(this.#part(".headline"), headline);
    put(this.#part(".hint"), `${hint} ${retry}`.trim());
    const behind = this.#playback.isRewound ? this.#behindLive() : 0;
    const chip = this.#part(".chip");
    chip.disabled = !this.#playback.isRewound;
    chip.title = chip.disabled ? "" : say("player.to_live");
    put(chip.querySelector("span"), behind ? say("player.behind", { time: text.delay(Math.round(behind) * 1000) }) : say(`state.${state}`));
    this.#announceEnd();
  }

  #announceEnd() {
    const left = (this.#playback.endsAt ?? Infinity) - Date.now();
    const ending = this.#part(".ending");
    ending.hidden = !(left > 0 && left < 60_000 && MOVING.includes(this.#state));
    if (!ending.hidden) put(ending, say("player.ends_in", { time: text.duration(left) }));
  }

  #speak() {
    if (!this.hasAttribute("controls")) return; // a wall of tiles would never be silent
    const { headline, hint } = this.#words();
    put(this.#part(".spoken"), `${headline}. ${hint}`);
  }

  #keepPicture() {
    const video = this.#part("video");
    const canvas = this.#part("canvas");
    if (!video.videoWidth) return;
    canvas.width = Math.min(STILL_WIDTH, video.videoWidth);
    canvas.height = (canvas.width * video.videoHeight) / video.videoWidth;
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    this.#part(".stage").dataset.still = "fresh";
    if (this.#playback.server.origin !== location.origin || !this.#playback.camera) return;
    const small = document.createElement("canvas");
    small.width = Math.min(KEPT_WIDTH, canvas.width);
    small.height = (small.width * canvas.height) / canvas.width;
    small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
    storage((kept) => kept.setItem(this.#key, small.toDataURL("image/jpeg", 0.6)));
  }

  async #recallPicture() {
    const source = storage((kept) => kept.getItem(this.#key));
    const isShowing = this.#part("video").readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    if (!source || isShowing || this.#part(".stage").dataset.still) return;
    const picture = new Image();
    picture.src = source;
    await picture.decode().catch(() => {});
    if (!picture.naturalWidth || MOVING.includes(this.#state)) return;
    const canvas = this.#part("canvas");
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    canvas.getContext("2d").drawImage(picture, 0, 0);
    this.#part(".stage").dataset.still = "old";
  }

  #turnTo(camera) {
    this.#playback.camera = camera;
    this.#isOnScreen ||= hasBegun(camera); // until the observer says otherwise
    delete this.#part(".stage").dataset.still;
    if (this.isConnected) this.#recallPicture();
    this.#name();
  }

  #name() {
    const title = this.status?.title || this.#playback.camera;
    this.#internals.ariaLabel = say("player.region", { title });
  }

  /** The <video> that stood in for this player, with its picture. */
  #takeIn(video) {
    if (video?.parentNode !== this) return;
    video.setAttribute("part", "video");
    this.#part("video").replaceWith(video);
  }

  /** A right that has ended covers the last picture too. */
  #forgetPicture() {
    delete this.#part(".stage").dataset.still;
    this.#part("canvas").width = 0;
    storage((kept) => kept.removeItem(this.#key));
  }

  get #key() {
    return `camrelay.picture.${this.#playback.camera}`;
  }

  // Controls.

  #listen() {
    const on = (selector, type, act) => this.#part(selector).addEventListener(type, act);
    on(".play", "click", () => this.#togglePause());
    on(".mute", "click", () => this.#toggleMute());
    on(".fill", "click", () => this.#toggleFill());
    on(".delay", "click", () => this.#toggleMeasuring());
    on(".chip", "click", () => this.#seek(Infinity));
    on(".route", "click", ({ target }) => target.value && this.#playback.prefer(target.value));
    on(".stage", "pointermove", () => this.#stayAwake());
    on(".stage", "pointerdown", () => this.#stayAwake());
    // After a click the keys mean the player again, not the button that was clicked.
    on(".bar", "pointerup", () => requestAnimationFrame(() => this.focus({ preventScroll: true })));
    on("video", "dblclick", () => this.hasAttribute("controls") && this.#toggleFill());
    on("video", "volumechange", () => this.#showControls());
    on("video", "timeupdate", () => this.#announceEnd());
    this.addEventListener("keydown", (event) => this.hasAttribute("controls") && this.pressKey(event));
  }

  #stayAwake() {
    clearTimeout(this.#idleTimer);
    this.#setAwake(true);
    this.#idleTimer = setTimeout(() => this.#setAwake(false), IDLE_MS);
  }

  #setAwake(isAwake) {
    const mayHide = this.#state === "live" && !this.#playback.isRewound;
    this.#part(".bar").classList.toggle("away", !isAwake && mayHide);
    this.#part(".stage").dataset.cursor = isAwake || !mayHide ? "" : "hidden";
  }

  #showControls() {
    const video = this.#part("video");
    const hasControls = this.hasAttribute("controls");
    this.#part(".bar").hidden = !hasControls;
    if (!hasControls) return;
    this.#label(".play", this.#isPaused ? "play" : "pause");
    const isSilent = this.#playback.transport?.hasAudio() === false;
    this.#part(".mute").disabled = isSilent;
    this.#label(".mute", video.muted || isSilent ? "silent" : "sound",
      isSilent ? this.#whySilent() : video.muted ? "unmute" : "mute", { codec: CODECS[this.status?.audio] });
    const isFull = document.fullscreenElement === this;
    this.#label(".fill", isFull ? "leave" : "fill");
    const used = this.#playback.kind;
    for (const button of this.#root.querySelectorAll(".route button")) {
      button.setAttribute("aria-pressed", String(button.value === used));
    }
    this.#part(".route").hidden = this.#playback.protocol !== "auto";
  }

  /** Which words say why nothing is heard: the camera sends nothing, or this way cannot carry what it sends. */
  #whySilent() {
    if (!this.status) return "silent_here";
    return this.status.audio ? `silent_${this.#playback.kind}` : "silent";
  }

  #label(selector, shapeName, words = shapeName, values = {}) {
    const button = this.#part(selector);
    button.title = say(`player.${words}`, values);
    button.setAttribute("aria-label", button.title);
    button.querySelector("path").setAttribute("d", shape(shapeName));
  }

  #togglePause() {
    this.#isPaused = !this.#isPaused;
    if (this.#isPaused) this.#release();
    this.#update();
    this.#showControls();
  }

  #toggleMute() {
    const video = this.#part("video");
    if (!this.#part(".mute").disabled) video.muted = !video.muted;
  }

  #turnVolume(step) {
    const video = this.#part("video");
    video.volume = Math.min(1, Math.max(0, video.volume + step));
    if (step > 0 && !this.#part(".mute").disabled) video.muted = false;
  }

  #toggleFill() {
    const video = this.#part("video");
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.requestFullscreen) this.requestFullscreen().catch(() => {});
    else video.webkitEnterFullscreen?.(); // iPhones fill the screen with videos only
  }

  /** Moves within what LL-HLS still holds; WebRTC has no past to go back to. */
  #seek(seconds) {
    const { transport } = this.#playback;
    const video = this.#part("video");
    if (!transport?.liveEdge || !video.seekable.length) return;
    const edge = transport.liveEdge();
    const target = Math.max(video.seekable.start(0), video.currentTime + seconds);
    this.#playback.isRewound = target < edge - 1;
    video.currentTime = Math.min(target, edge);
    this.#describe();
    this.#showControls();
  }

  #behindLive() {
    return Math.max(0, this.#playback.transport.liveEdge() - this.#part("video").currentTime);
  }

  #toggleMeasuring() {
    const button = this.#part(".delay");
    const isOn = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isOn));
    this.#part(".stats").hidden = !isOn;
    clearInterval(this.#measureTimer);
    if (!isOn) return;
    this.#measureTimer = setInterval(() => this.#showMeasure(), 1000);
    this.#showMeasure();
  }

  async #showMeasure() {
    const stats = await this.measure();
    const rows = [[say("player.delay"), stats?.delay_ms != null ? text.delay(stats.delay_ms) : say("player.measuring")]];
    if (stats?.width) rows.push([say("camera.picture"), say("camera.size", stats)]);
    if (stats?.bit_rate_bps) rows.push([say("camera.rate"), text.bitRate(stats.bit_rate_bps)]);
    if (stats) rows.push([say("player.carried_by"), say(`player.via_${stats.protocol}`)]);
    this.#part(".stats").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
    if (stats) this.dispatchEvent(new CustomEvent("stats", { detail: stats }));
  }

  #part(selector) {
    return this.#root.querySelector(selector);
  }
}

function make(tag, content) {
  const node = document.createElement(tag);
  node.textContent = content;
  return node;
}

/** Writes only what changed: screen readers speak every write. */
function put(node, content) {
  if (node.textContent !== content) node.textContent = content;
}

/** Session storage, where there is one: embedded pages may have none. */
function storage(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}

if (!customElements.get("camera-player")) customElements.define("camera-player", CameraPlayer);
