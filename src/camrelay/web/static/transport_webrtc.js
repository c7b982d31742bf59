// One WHEP viewing: an offer posted, an answer applied, tracks in a <video>. It does not try again; Playback does.

import { call, Problem } from "./api.js";

/** A connection that lost its way often finds it again; after this it is given up. */
const LOST_MS = 3000;

/** Cameras of one picture in this time are slow; a measurement does not wait longer. */
const NEXT_PICTURE_MS = 1000;

export const canPlayWebrtc = () => "RTCPeerConnection" in globalThis;

/**
 * Begins to make an offer; it takes a browser longer than asking camrelay for a media session, so both happen at the
 * same time. Whoever does not hand the result to openWebrtc closes its `connection`.
 */
export function prepareWebrtc() {
  const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  for (const kind of ["video", "audio"]) connection.addTransceiver(kind, { direction: "recvonly" });
  const offered = connection.setLocalDescription();
  offered.catch(() => {}); // openWebrtc sees the failure
  return { connection, offered };
}

/**
 * Starts one viewing at `url` with what prepareWebrtc made. Resolves when the answer is applied, which is before the first picture.
 *
 * Returns {kind, failed, close(), pictures(), late(), hasAudio(), measure()}: `failed` is a promise that only ever
 * rejects, with the Problem that ended the viewing; `pictures` counts those decoded so far; `late` tells how many
 * seconds playback is behind where it wants to be.
 */
export async function openWebrtc(video, url, { signal, prepared: { connection, offered } }) {
  const stream = new MediaStream();
  let resource = null;
  let fail;
  const failed = new Promise((_, reject) => (fail = reject));
  failed.catch(() => {}); // whoever races it sees the failure; nobody is obliged to
  let lostTimer = 0;
  let over = false;

  const endedByServer = () => {
    resource = null;
    fail(new Problem("interrupted"));
  };
  connection.onconnectionstatechange = () => {
    clearTimeout(lostTimer);
    if (connection.connectionState === "failed") fail(new Problem("interrupted"));
    if (connection.connectionState === "disconnected") {
      lostTimer = setTimeout(() => fail(new Problem("interrupted")), LOST_MS);
    }
  };

  function close() {
    if (over) return;
    over = true;
    signal.removeEventListener("abort", close);
    clearTimeout(lostTimer);
    connection.onconnectionstatechange = null;
    if (video.srcObject === stream) video.srcObject = null;
    // The order matters: a connection that closed first has ended the viewing, and there is nothing left to delete.
    const deleted = resource ? fetch(resource, { method: "DELETE", keepalive: true }) : Promise.resolve();
    deleted.catch(() => {}).finally(() => connection.close());
  }

  connection.ontrack = ({ track, transceiver }) => {
    stream.addTrack(track);
    const dtls = transceiver.receiver.transport;
    if (dtls) dtls.onstatechange = () => dtls.state === "closed" && endedByServer();
  };

  signal.addEventListener("abort", close);
  try {
    await offered;
    // camrelay is ICE-lite and learns the browser's address from its checks: no need to gather candidates first.
    const answer = await call(url, {
      method: "POST", signal, headers: { "Content-Type": "application/sdp" }, body: connection.localDescription.sdp,
    });
    resource = new URL(answer.headers.get("Location"), url);
    await connection.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  } catch (error) {
    close();
    signal.throwIfAborted();
    if (!(error instanceof Problem)) throw new Problem("negotiation_failed");
    // A path secret that the server does not know belonged to a session that is over.
    throw error.code === "not_found" ? new Problem("session_ended") : error;
  }
  video.srcObject = stream;
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
