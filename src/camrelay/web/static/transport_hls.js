// One LL-HLS viewing in a <video>: hls.js where Media Source Extensions exist, Safari's own player on Safari.
// hls.js is loaded when it is first needed. It does not try again; Playback does.

import { problem, Problem } from "./api.js";

/**
 * Further behind than wished by this much, playback hurries; by this much more, it jumps. hls.js would hurry too,
 * but only as long as more than a second lies ahead in the buffer, and so stay a second behind.
 */
const HURRY_S = 0.1;
const HURRY_MIN_RATE = 1.1;
const HURRY_MAX_RATE = 1.25;
const JUMP_S = 4;

/** A stall asks for this much more of a distance to live, and so long without another gives it back. */
const STALL_COSTS_S = 0.2;
const STALLS_AT_MOST = 10;
const CALM_MS = 20_000;

/** hls.js may mend a broken decoder once in this time; sooner again, and the viewing is started anew. */
const MEND_MS = 10_000;

const playsNatively = (video) =>
  (navigator.vendor.startsWith("Apple") || !canUseMediaSource()) && video.canPlayType("application/vnd.apple.mpegurl") !== "";

const canUseMediaSource = () => "MediaSource" in globalThis || "ManagedMediaSource" in globalThis;

export const canPlayHls = (video) => canUseMediaSource() || playsNatively(video);

/**
 * Starts one viewing at `url`; returns what openWebrtc returns, and liveEdge(), in the video's own time.
 * `lowLatency` keeps a request per player waiting at the server.
 */
export async function openHls(video, url, { signal, lowLatency }) {
  let fail;
  const failed = new Promise((_, reject) => (fail = reject));
  failed.catch(() => {}); // whoever races it sees the failure; nobody is obliged to
  const player = playsNatively(video) ? openNative(video, url, fail) : await openLibrary(video, url, fail, lowLatency);
  let isOver = false;
  const close = () => {
    signal.removeEventListener("abort", close);
    if (!isOver) player.close();
    isOver = true;
  };
  if (signal.aborted) close();
  signal.throwIfAborted();
  signal.addEventListener("abort", close);
  const pictures = async () => video.getVideoPlaybackQuality().totalVideoFrames;
  return { kind: "hls", failed, pictures, ...player, close };
}

async function openLibrary(video, url, fail, lowLatency) {
  let Hls;
  try {
    ({ default: Hls } = await import("./vendor/hls.light.min.mjs"));
  } catch {
    throw new Problem("unreachable");
  }
  if (!Hls.isSupported()) throw new Problem("unsupported");
  const hls = new Hls({
    lowLatencyMode: lowLatency,
    enableWorker: false, // the stream is fMP4 already; a worker would need a blob: script
    backBufferLength: 30,
    liveSyncOnStallIncrease: 0, // it would add a second, and never give one back
  });
  const distance = new Distance();
  const events = new AbortController();
  video.addEventListener("seeking", () => (video.playbackRate = 1), events); // who goes back is in no hurry
  let mendedAt = -Infinity;
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.details === Hls.ErrorDetails.BUFFER_STALLED_ERROR) distance.stalled(performance.now());
    if (!data.fatal) return;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && performance.now() - mendedAt > MEND_MS) {
      mendedAt = performance.now();
      hls.recoverMediaError();
      return;
    }
    fail(hlsProblem(Hls, data));
  });
  hls.loadSource(url.href);
  hls.attachMedia(video);
  return {
    close() {
      events.abort();
      video.playbackRate = 1;
      hls.destroy();
    },
    late() {
      const late = hls.latency - (hls.targetLatency ?? 0) - distance.at(performance.now());
      if (late > JUMP_S && hls.liveSyncPosition) video.currentTime = hls.liveSyncPosition;
      else video.playbackRate = hurry(late, ahead(video));
      return late;
    },
    hasAudio: () => hls.levels.some((level) => level.audioCodec),
    liveEdge: () => hls.liveSyncPosition ?? video.currentTime,
    measure: async () => ({ protocol: "hls", delay_ms: hls.latency ? hls.latency * 1000 : null, ...measurePicture(video) }),
  };
}

/** How much further from live a viewing keeps than its stream asks for, by the stalls it had lately. */
export class Distance {
  #stalls = 0;
  #since = 0;

  stalled(now) {
    this.#stalls = Math.min(this.#stalls + 1, STALLS_AT_MOST);
    this.#since = now;
  }

  /** In seconds. */
  at(now) {
    const calm = Math.floor((now - this.#since) / CALM_MS);
    this.#stalls = Math.max(0, this.#stalls - calm);
    this.#since += calm * CALM_MS;
    return this.#stalls * STALL_COSTS_S;
  }
}

/** How fast to play: a second's lateness is gone in some seven, but never by playing what is not there yet. */
function hurry(late, ahead) {
  if (late <= HURRY_S || ahead <= late) return 1;
  return Math.min(Math.max(1 + late / 4, HURRY_MIN_RATE), HURRY_MAX_RATE);
}

/** Seconds that are buffered from the playhead on. */
function ahead({ buffered, currentTime }) {
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) <= currentTime && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
  }
  return 0;
}

function hlsProblem(Hls, data) {
  const { code, text } = data.response ?? {};
  if (data.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) return new Problem("unsupported");
  if (data.details === Hls.ErrorDetails.BUFFER_ADD_CODEC_ERROR) return new Problem("unsupported");
  if (data.type === Hls.ErrorTypes.NETWORK_ERROR && code >= 400) {
    // A path secret that is unknown to the server is a session that is over.
    return code === 404 ? new Problem("session_ended") : problem(code, text || data.networkDetails?.responseText);
  }
  return new Problem(data.type === Hls.ErrorTypes.NETWORK_ERROR ? "unreachable" : "interrupted");
}

function openNative(video, url, fail) {
  const events = new AbortController();
  video.addEventListener("error", () => fail(new Problem("interrupted")), events);
  video.addEventListener("ended", () => fail(new Problem("interrupted")), events);
  video.src = url.href;
  const liveEdge = () => (video.seekable.length ? video.seekable.end(video.seekable.length - 1) : video.currentTime);
  return {
    close() {
      events.abort();
      video.removeAttribute("src");
      video.load();
    },
    late: () => 0, // Safari keeps to the live edge by itself
    liveEdge,
    hasAudio: () => video.audioTracks?.length !== 0,
    measure: async () => ({
      protocol: "native", delay_ms: (liveEdge() - video.currentTime) * 1000, ...measurePicture(video),
    }),
  };
}

function measurePicture(video) {
  const { droppedVideoFrames: dropped, totalVideoFrames: frames } = video.getVideoPlaybackQuality();
  return { width: video.videoWidth, height: video.videoHeight, dropped, frames, at_ms: performance.now() };
}
