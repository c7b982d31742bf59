// The first moments of a camera's own page. It stands inside the page, before all else in it and needing nothing else:
// a browser that had to fetch it would run it 40 ms later, and modules only once it has laid the page out. It shows the
// camera's picture in a <video> of its own. The modules of the page come after that picture; the player takes the <video>
// in and goes on with what was begun, through head_start.js.

"use strict";
{
  /** A server that has not answered by then answers the player. */
  const PATIENCE_MS = 3000;

  /** The rest of the page lets the picture come first, but not for longer than this. */
  const PICTURE_FIRST_MS = 300;

  const { camera, page } = document.currentScript.dataset;

  async function open({ token, connection, video, stream }) {
    const offered = connection.setLocalDescription();
    const authority = token ? { Authorization: `Bearer ${token}` } : {};
    const asked = post("/v1/media/sessions", "application/json", JSON.stringify({ camera }), authority);
    const [session] = await Promise.all([asked.then((answer) => answer.json()), offered]);
    const accepted = await post(session.whep, "application/sdp", connection.localDescription.sdp);
    connection.ontrack = ({ track }) => stream.addTrack(track);
    await connection.setRemoteDescription({ type: "answer", sdp: await accepted.text() });
    video.srcObject = stream;
    return { session, resource: new URL(accepted.headers.get("Location"), location.origin) };
  }

  async function post(url, type, body, headers = {}) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(url, { method: "POST", body, signal, headers: { ...headers, "Content-Type": type } });
    if (!answer.ok) throw new Error(answer.status);
    return answer;
  }

  /** The grant that account.js keeps for this tab. */
  function keptToken() {
    try {
      return sessionStorage.getItem("camrelay.token");
    } catch {
      return null; // no storage in this frame
    }
  }

  function begin() {
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const kind of ["video", "audio"]) connection.addTransceiver(kind, { direction: "recvonly" });
    const video = document.createElement("video");
    Object.assign(video, { autoplay: true, muted: true, playsInline: true });
    const begun = { camera, token: keptToken(), connection, video, stream: new MediaStream() };
    begun.opened = open(begun).catch(() => null);
    return begun;
  }

  // A grant that has just come in the address is still to be kept.
  const begun = document.hidden || location.hash || !("RTCPeerConnection" in globalThis) ? null : begin();
  globalThis.camrelayHeadStart = begun;

  const read = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
  const late = new Promise((resolve) => setTimeout(resolve, PICTURE_FIRST_MS));
  const shown = begun?.opened.then((found) => found && new Promise((resolve) => begun.video.requestVideoFrameCallback(resolve)));

  read.then(() => begun && document.querySelector("camera-player").append(begun.video));
  Promise.all([read, Promise.race([shown, late])]).then(() => {
    document.head.append(document.getElementById("modules").content);
    import(page);
  });
}
