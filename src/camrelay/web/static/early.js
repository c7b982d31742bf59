// The first moments of a camera's own page. A plain script, before all else in the page and needing nothing else: a
// browser runs modules, asynchronous ones too, after it has laid the page out, and by then the picture can be here.
// What it begins, head_start.js hands to the player; the modules of the page run once the relay has answered, while the
// first packets are on their way.

"use strict";
{
  /** A server that has not answered by then answers the player. */
  const PATIENCE_MS = 3000;

  /** The page does not wait for the answer any longer than this. */
  const ANSWER_FIRST_MS = 250;

  const { camera, page } = document.currentScript.dataset;

  async function open(token, connection, offered) {
    const authority = token ? { Authorization: `Bearer ${token}` } : {};
    const asked = post("/v1/media/sessions", "application/json", JSON.stringify({ camera }), authority);
    const [answer] = await Promise.all([asked, offered]);
    const session = await answer.json();
    const accepted = await post(session.whep, "application/sdp", connection.localDescription.sdp);
    await connection.setRemoteDescription({ type: "answer", sdp: await accepted.text() });
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

  // A grant that has just come in the address is still to be kept.
  if (!document.hidden && !location.hash && "RTCPeerConnection" in globalThis) {
    const token = keptToken();
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const kind of ["video", "audio"]) connection.addTransceiver(kind, { direction: "recvonly" });
    const opened = open(token, connection, connection.setLocalDescription()).catch(() => null);
    globalThis.camrelayHeadStart = { camera, token, connection, opened };
  }

  const answered = globalThis.camrelayHeadStart?.opened;
  const late = new Promise((resolve) => setTimeout(resolve, ANSWER_FIRST_MS));
  const read = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));
  Promise.all([read, Promise.race([answered, late])]).then(() => import(page));
}
