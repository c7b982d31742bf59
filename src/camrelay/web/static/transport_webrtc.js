// One WHEP viewing: an offer posted, an answer applied, tracks in a <video>. It does not try again; Playback does.

import { call, Problem } from "./api.js";

/** A connection that lost its way often finds it again; after this it is given up. */
const LOST_MS = 3000;

/** Cameras of one picture in this time are slow; a measurement does not wait longer. */
const NEXT_PICTURE_MS = 1000;

/** A connection that only receives, and the promise of its offer. */
function connect() {
  const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  for (const kind of ["video", "audio"]) connection.addTransceiver(kind, { direction: "recvonly" });
  return { connection, offered: connection.setLocalDescription() };
}

export const canPlayWebrtc = () => "RTCPeerConnection" in globalThis;

/**
 * A viewing that is on no screen yet. It makes its offer at once, which takes a browser longer than asking camrelay for a
 * media session, or goes on with what was `begun` (see head_start.js). Whoever does not hand it to openWebrtc closes it.
 *
 * `failed` is a promise that only ever rejects, with the Problem that ended the viewing.
 */
export class WebrtcViewing {
  #fail;
  failed = new Promise((_, reject) => (this.#fail = reject));
  #offered;
  #opened = null;
  #resource = null;
  #abort = new AbortController();
  #lostTimer = 0;

  constructor(begun = null) {
    const { connection, stream = new MediaStream(), offered } = begun ?? connect();
    this.connection = connection;
    this.stream = stream;
    this.failed.catch(() => {}); // whoever races it sees the failure; nobody is obliged to
    connection.onconnectionstatechange = () => this.#follow(connection.connectionState);
    if (begun) {
      this.#opened = Promise.resolve();
      this.#receive(begun.resource);
      this.#follow(connection.connectionState);
    } else {
      this.#offered = offered;
      offered.catch(() => {}); // open sees the failure
    }
  }

  /** Posts the offer to `url`, the first time; resolves when the answer is applied, which is before the first picture. */
  open(url) {
    this.#opened ??= this.#post(url);
    return this.#opened;
  }

  close() {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    clearTimeout(this.#lostTimer);
    this.connection.onconnectionstatechange = null;
    // The order matters: a connection that closed first has ended the viewing, and there is nothing left to delete.
    const deleted = this.#resource ? fetch(this.#resource, { method: "DELETE", keepalive: true }) : Promise.resolve();
    deleted.catch(() => {}).finally(() => this.connection.close());
  }

  async #post(url) {
    const { connection } = this;
    try {
      await this.#offered;
      // camrelay is ICE-lite and learns the browser's address from its checks: no need to gather candidates first.
      const answer = await call(url, {
        method: "POST", signal: this.#abort.signal,
        headers: { "Content-Type": "application/sdp" }, body: connection.localDescription.sdp,
      });
      this.#resource = new URL(answer.headers.get("Location"), url);
      await connection.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      this.#receive(this.#resource);
    } catch (error) {
      this.close();
      if (!(error instanceof Problem)) throw new Problem("negotiation_failed");
      // A path secret that the server does not know belonged to a session that is over.
      throw error.code === "not_found" ? new Problem("session_ended") : error;
    }
  }

  /** Takes the tracks that the answer accepted. */
  #receive(resource) {
    this.#resource = resource;
    for (const { currentDirection, receiver } of this.connection.getTransceivers()) {
      if (currentDirection !== "recvonly") continue;
      this.stream.addTrack(receiver.track);
      const dtls = receiver.transport;
      if (dtls) dtls.onstatechange = () => dtls.state === "closed" && this.#endByServer();
    }
  }

  #follow(state) {
    clearTimeout(this.#lostTimer);
    if (state === "failed") this.#fail(new Problem("interrupted"));
    if (state === "disconnected") this.#lostTimer = setTimeout(() => this.#fail(new Problem("interrupted")), LOST_MS);
  }

  #endByServer() {
    this.#resource = null;
    this.#fail(new Problem("interrupted"));
  }
}

/**
 * Shows `viewing`, of `url`, in `video`. Resolves when the answer is applied, which is before the first picture.
 *
 * Returns {kind, failed, close(), pictures(), late(), hasAudio(), measure()}: `pictures` counts those decoded so far;
 * `late` tells how many seconds playback is behind where it wants to be.
 */
export async function openWebrtc(video, url, { signal, viewing }) {
  const { connection, stream, failed } = viewing;

  function close() {
    signal.removeEventListener("abort", close);
    if (video.srcObject === stream) video.srcObject = null;
    viewing.close();
  }

  signal.addEventListener("abort", close);
  try {
    await viewing.open(url);
    signal.throwIfAborted();
  } catch (error) {
    close();
    signal.throwIfAborted();
    throw error;
  }
  if (video.srcObject !== stream) video.srcObject = stream; // the same again would begin anew
  return {
    kind: "webrtc",
    failed,
    close,
    late: () => 0,
    pictures: () => countPictures(connection),
    hasAudio: () => stream.getAudioTracks().length > 0,
    measure: () => measure(video, connection),
  };
}

/** Chromium's <video> counts a picture again every second while none comes; its decoder does not. */
async function countPictures(connection) {
  const reports = [...(await connection.getStats()).values()];
  return reports.find(({ type, kind }) => type === "inbound-rtp" && kind === "video")?.framesDecoded ?? 0;
}

/**
 * What the browser knows about the stream at this moment. delay_ms is from camrelay to the screen: half a round trip,
 * and what passes between a picture's arrival and its light. (camrelay itself passes packets on as they come.)
 */
async function measure(video, connection) {
  const shown = await displayDelay(video);
  const found = {};
  for (const report of (await connection.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === "video") found.stream = report;
    if (report.type === "candidate-pair" && report.nominated) found.pair = report;
  }
  const { stream, pair } = found;
  if (!stream) return { protocol: "webrtc" };
  const here = shown ?? meanDelay(stream);
  return {
    protocol: "webrtc",
    delay_ms: here === null ? null : here + (pair?.currentRoundTripTime ?? 0) * 500,
    width: stream.frameWidth,
    height: stream.frameHeight,
    frame_rate: stream.framesPerSecond,
    lost: stream.packetsLost,
    bytes: stream.bytesReceived,
    at_ms: stream.timestamp,
  };
}

/** From the last packet of the next picture to its light, in ms; null where the browser does not tell. */
function displayDelay(video) {
  return new Promise((resolve) => {
    setTimeout(() => resolve(null), NEXT_PICTURE_MS);
    video.requestVideoFrameCallback?.((_, { receiveTime, expectedDisplayTime }) => {
      resolve(receiveTime ? Math.max(0, expectedDisplayTime - receiveTime) : null);
    });
  });
}

/** The same as the mean of all pictures so far. */
function meanDelay({ framesDecoded, totalProcessingDelay }) {
  return framesDecoded && totalProcessingDelay !== undefined ? (totalProcessingDelay / framesDecoded) * 1000 : null;
}
