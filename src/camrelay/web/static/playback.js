// One camera's effort to be on screen. It opens media sessions, chooses WebRTC or LL-HLS, watches for pictures,
// explains what is wrong, and never stops trying until told to stop.
//
// States, as reported: connecting, waiting (for a key frame), live, catching-up, offline (the camera), unreachable
// (camrelay), busy, denied, signed-out, ended, unsupported, idle.

import { call, openSession, Problem, serverNow } from "./api.js";
import { take } from "./head_start.js";
import { isDue, lastsLonger } from "./renewal.js";
import { canPlayHls, openHls } from "./transport_hls.js";
import { canPlayWebrtc, openWebrtc, WebrtcViewing } from "./transport_webrtc.js";

/** No picture for this long, and the other way to carry it is tried. */
const FIRST_PICTURE_MS = 3000;
/** How often pictures are counted, and how long none may come before the camera is asked about. */
const TICK_MS = 500;
const STALL_MS = 2000;
/** A camera that is live while nothing arrives here: the connection is at fault and is made anew. */
const GIVE_UP_MS = 3000;
/** The camera's state is asked for this often while its picture is missing. */
const STATUS_MS = 3000;
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 15_000;
/** Refusals may be taken back, by a new share for example; they are put to the test this often. */
const REFUSED_MS = 30_000;
/** A right that could not be renewed is exchanged for another this long before its end. */
const EXCHANGE_MS = 60_000;
/** Behind live by more than this, playback says so. */
const BEHIND_S = 2;

const REFUSALS = {
  not_found: "denied", token_required: "signed-out", bad_token: "ended", session_ended: "ended",
  unsupported: "unsupported", negotiation_failed: "unsupported",
};
/** The relay, or something that it needs to let anybody watch, does not answer. */
const NOT_THERE = ["unreachable", "audit_unavailable", "callback_failed"];
/** Failures that another way of carrying the video may not have. */
const OF_THE_WAY = ["no_picture", "interrupted", "negotiation_failed", "unsupported"];

export class Playback {
  /** Shows pictures in `video`; report(state, detail) is called whenever something changes. */
  constructor(video, report) {
    this.video = video;
    this.server = new URL(location.origin);
    this.camera = "";
    this.token = null;
    this.fixedSession = null;
    this.protocol = "auto";
    this.lowLatency = true;
    this.endsAt = null; // by this device's clock
    this.transport = null;
    this.isRewound = false;
    this.#report = report;
  }

  #report;
  #abort = null;
  #session = null;
  #status = null;
  #isFed = false;
  #kind = null;
  #failures = 0;
  #wake = () => {};

  /** Whoever follows the camera's state anyway hands it over; this object then does not ask for it. */
  set status(status) {
    const isBack = status?.state === "live" && this.#status?.state !== "live";
    this.#isFed = true;
    this.#status = status;
    if (isBack) this.nudge();
  }

  get status() {
    return this.#status;
  }

  /** The way the video travels, or would: "webrtc" or "hls". */
  get kind() {
    return this.transport?.kind ?? (this.protocol === "auto" ? (this.#kind ?? "webrtc") : this.protocol);
  }

  get isRunning() {
    return this.#abort !== null;
  }

  start() {
    if (this.isRunning) return;
    this.#abort = new AbortController();
    this.#failures = 0;
    this.#run(this.#abort.signal);
  }

  stop() {
    if (!this.isRunning) return;
    this.#set("idle");
    this.#abort.abort();
    this.#abort = null;
    this.transport = null;
    this.isRewound = false;
  }

  /** Stops waiting and tries again now. */
  nudge() {
    this.#wake();
  }

  /** Stops, and knows nothing any more of the camera and the session it had. */
  forget() {
    this.stop();
    this.#session = null;
    this.#status = null;
    this.#isFed = false;
    this.endsAt = null;
  }

  /** Takes another way from now on; in "auto" the other one stays the way out. */
  prefer(kind) {
    this.#kind = kind;
    if (!this.isRunning) return;
    this.stop();
    this.start();
  }

  /** A new token ends a refusal at once and renews a session that is about to end; none takes the session along. */
  setToken(token) {
    this.token = token;
    if (!token) this.#session = null;
    if (this.#session) Object.assign(this.#session, { wasExchanged: false, askedAt: null });
    this.nudge();
  }

  async #run(signal) {
    while (!signal.aborted) {
      try {
        await this.#play(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Problem)) console.error(error);
        await this.#explain(error, signal).catch(() => {}); // it rejects only when told to stop
      }
    }
  }

  /** One viewing, from its session to its failure; always throws. */
  async #play(signal) {
    if (!this.#canBeWatched) throw new Problem("camera_not_live"); // no need to ask for what cannot be given
    const kind = this.#choose();
    const begun = this.#session || this.fixedSession || kind !== "webrtc" ? null : await take(this);
    const viewing = kind === "webrtc" ? new WebrtcViewing(begun) : null;
    const session = await this.#openSession(signal, begun?.session).catch((error) => {
      viewing?.close();
      throw error;
    });
    const open = kind === "webrtc" ? openWebrtc : openHls;
    const url = new URL(kind === "webrtc" ? session.whep : session.hls, this.server);
    this.#set("connecting");
    let hadPicture = false;
    let transport = null;
    try {
      transport = await open(this.video, url, { signal, viewing, lowLatency: this.lowLatency });
      begin(this.video);
      await this.#firstPicture(transport, signal);
      hadPicture = true;
      // Whoever looks for the sound shall learn why there is none.
      if (!transport.hasAudio() && !this.#status && this.camera) await this.#askStatus(signal);
      this.transport = transport;
      this.#failures = 0;
      this.#set("live");
      await this.#watch(transport, session, signal);
    } catch (error) {
      if (!signal.aborted && hadPicture) this.#set("connecting");
      if (!hadPicture) this.#fallBack(kind, error);
      throw error;
    } finally {
      if (this.transport === transport) this.transport = null;
      transport?.close();
    }
  }

  async #openSession(signal, begun) {
    if (this.fixedSession) {
      const base = this.fixedSession.replace(/\/(index\.m3u8|whep)?$/, "");
      return { hls: `${base}/index.m3u8`, whep: `${base}/whep`, expires_at: null };
    }
    const isOver = this.#session?.expires_at && msUntil(this.#session) < 1000;
    if (isOver || !this.#session) this.#session = await this.#requestSession(signal, begun);
    this.endsAt = this.#session.expires_at ? Date.now() + msUntil(this.#session) : null;
    return this.#session;
  }

  async #requestSession(signal, begun = openSession(this.server, { camera: this.camera, token: this.token, signal })) {
    const session = await begun;
    signal.throwIfAborted();
    return { ...session, beganAt: serverNow(), askedAt: null, wasExchanged: false };
  }

  #choose() {
    const able = { webrtc: canPlayWebrtc(), hls: canPlayHls(this.video) };
    const wished = this.kind;
    const other = wished === "webrtc" ? "hls" : "webrtc";
    if (able[wished]) return wished;
    if (able[other] && this.protocol === "auto") return other;
    throw new Problem("unsupported");
  }

  /** A way that brought no picture is left for the other; one that did stays, until asked otherwise. */
  #fallBack(kind, error) {
    if (this.protocol !== "auto" || !OF_THE_WAY.includes(error.code)) return;
    this.#kind = kind === "webrtc" ? "hls" : "webrtc";
    error.isFirstFallBack = this.#failures === 0;
  }

  async #firstPicture(transport, signal) {
    const picture = nextPicture(this.video);
    for (;;) {
      const shown = await Promise.race([picture, transport.failed, sleep(FIRST_PICTURE_MS, signal)]);
      if (shown) return;
      await this.#askStatus(signal);
      if (this.#isCameraLive) throw new Problem("no_picture");
      this.#showStatus();
    }
  }

  /** Counts pictures until the transport fails or falls silent. */
  async #watch(transport, session, signal) {
    let pictures = -1;
    let movedAt = performance.now();
    let askedAt = 0;
    for (;;) {
      await Promise.race([transport.failed, sleep(TICK_MS, signal)]);
      await this.#renew(session, signal);
      const now = performance.now();
      const count = await transport.pictures();
      const hasMoved = count !== pictures;
      pictures = count;
      // Of a camera that is away, a relay may repeat old pictures; its state tells when there are new ones.
      if (hasMoved && this.#isCameraLive) {
        movedAt = now;
        const isLate = !this.isRewound && transport.late() > BEHIND_S;
        this.#set(isLate ? "catching-up" : "live");
        continue;
      }
      const patienceMs = Math.max(STALL_MS, 4000 / (this.#status?.frame_rate || 4));
      if (now - movedAt < patienceMs) continue;
      if (now - askedAt > STATUS_MS) {
        askedAt = now;
        await this.#askStatus(signal);
      }
      if (!this.#isCameraLive) {
        movedAt = now - patienceMs; // once it is back, its first picture has all the time there is
        this.#showStatus();
      } else if (now - movedAt > patienceMs + GIVE_UP_MS) {
        throw new Problem("no_picture");
      } else {
        this.#set("catching-up");
      }
    }
  }

  /** Moves the session's end, without a gap, once most of its life is over and as far as the right allows. */
  async #renew(session, signal) {
    if (!session.expires_at) return;
    const { beganAt, askedAt } = session;
    if (!isDue({ beganAt, askedAt, endsAt: session.expires_at * 1000 }, serverNow())) return this.#exchange(session, signal);
    session.askedAt = serverNow();
    const url = new URL(`/v1/media/sessions/${session.id}/renew`, this.server);
    const renewed = await call(url, { method: "POST", signal, token: this.token }).then((answer) => answer.json(), () => null);
    signal.throwIfAborted();
    if (!renewed || !lastsLonger(renewed.expires_at, session.expires_at)) return;
    Object.assign(session, { expires_at: renewed.expires_at, beganAt: serverNow(), askedAt: null });
    this.endsAt = renewed.expires_at && Date.now() + msUntil(session);
  }

  /** Shortly before the right ends a session that lasts longer is asked for, once per token: of another person, say. */
  async #exchange(session, signal) {
    if (session.wasExchanged || msUntil(session) > EXCHANGE_MS) return;
    session.wasExchanged = true;
    const next = await this.#requestSession(signal).catch(() => null);
    signal.throwIfAborted();
    if (!next || !lastsLonger(next.expires_at, session.expires_at)) return;
    this.#session = next;
    throw new Problem("renewed");
  }

  /** Says what went wrong and waits until trying again makes sense. */
  async #explain(error, signal) {
    const { code, retryAfter } = error;
    if (code === "renewed") return;
    const backoff = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    const wait = Math.max(backoff, (retryAfter ?? 0) * 1000);
    this.#failures = Math.min(this.#failures + 1, 10);
    if (error.isFirstFallBack) return;
    const hadSession = this.#session !== null;
    if (code === "session_ended" || code === "bad_token") this.#session = null;

    if (code === "session_ended" && hadSession) await this.#sleep(this.#failures > 1 ? wait : 0, signal);
    else if (code in REFUSALS) await this.#pause(REFUSALS[code], REFUSED_MS, signal);
    else if (code === "overloaded") await this.#pause("busy", wait, signal);
    else if (NOT_THERE.includes(code)) await this.#pause("unreachable", wait, signal);
    else await this.#waitForCamera(wait, signal);
  }

  /** The picture is missing: because of the camera until it is back, otherwise for a short while. */
  async #waitForCamera(wait, signal) {
    await this.#askStatus(signal);
    if (this.#canBeWatched) return this.#pause("connecting", wait, signal);
    while (!this.#canBeWatched) {
      this.#showStatus();
      await this.#sleep(STATUS_MS, signal);
      await this.#askStatus(signal);
    }
  }

  /** Learns the camera's state; an answer that does not come changes nothing. */
  async #askStatus(signal) {
    if (this.#isFed) return;
    const url = new URL(`/v1/cameras/${this.camera}`, this.server);
    const status = await call(url, { token: this.token, signal }).then((answer) => answer.json()).catch(() => null);
    signal.throwIfAborted();
    this.#status = status ?? this.#status;
  }

  /** Whether a picture may be expected; cameras of unknown state count as live. */
  get #isCameraLive() {
    return (this.#status?.state ?? "live") === "live";
  }

  /** Whether asking for the camera makes sense; one that stands by begins when it is asked for. */
  get #canBeWatched() {
    return this.#isCameraLive || this.#status.state === "standby";
  }

  #showStatus() {
    const { state, since_us, reason, retry_at_us } = this.#status;
    const name = { waiting_for_key_frame: "waiting", offline: "offline" }[state] ?? "connecting";
    const retryAt = retry_at_us ? retry_at_us / 1000 - serverNow() + Date.now() : null;
    this.#set(name, { since: since_us / 1000, reason, retryAt });
  }

  #pause(state, ms, signal) {
    this.#set(state, { retryAt: Date.now() + ms });
    return this.#sleep(ms, signal);
  }

  #sleep(ms, signal) {
    return Promise.race([sleep(ms, signal), new Promise((resolve) => (this.#wake = resolve))]);
  }

  #set(state, detail = {}) {
    this.#report(state, detail);
  }
}

/** How long a media session still has, by the server's clock. */
const msUntil = ({ expires_at }) => expires_at * 1000 - serverNow();

/** Resolves to true when `video` shows its next picture. */
function nextPicture(video) {
  return new Promise((resolve) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(() => resolve(true));
    else video.addEventListener("timeupdate", () => resolve(true), { once: true });
  });
}

/** Plays; without sound where the browser allows no sound before the first click. */
async function begin(video) {
  try {
    await video.play();
  } catch (error) {
    if (error.name !== "NotAllowedError" || video.muted) return;
    video.muted = true;
    await video.play().catch(() => {});
  }
}

/** Resolves to undefined after `ms`; rejects when `signal` aborts. */
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const onabort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onabort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onabort, { once: true });
  });
}
