// Requests to camrelay. Every failure becomes a Problem with a code; authority travels in the Authorization
// header and nowhere else.

/** A request must be answered within this time; the longest wait of the server itself is a few seconds. */
const TIMEOUT_MS = 10_000;

let clockOffset = 0;

/** The server's clock in ms since 1970, as far as its Date headers tell (they count whole seconds). */
export const serverNow = () => Date.now() + clockOffset;

/** What went wrong, in one of the server's codes or one of ours ("unreachable", "no_picture", "unsupported"). */
export class Problem extends Error {
  constructor(code, { status = 0, retryAfter = null } = {}) {
    super(code);
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** A failure whose answer carried no code is named by its status. */
const CODES = { 401: "bad_token", 403: "not_found", 404: "not_found", 410: "session_ended", 503: "camera_not_live" };

/** The Problem that a status and the text of a problem+json body stand for. */
export function problem(status, text, retryAfter = null) {
  let code = null;
  try {
    code = JSON.parse(text).code;
  } catch {
    // Not from camrelay itself: a proxy's page.
  }
  code ??= CODES[status] ?? (status >= 500 || status === 0 ? "unreachable" : "bad_request");
  return new Problem(code, { status, retryAfter: Number(retryAfter) || null });
}

/** Fetches `url`; the answer, or a Problem. `signal` aborts quietly with its own AbortError. */
export async function call(url, { token = null, signal = null, headers = {}, timeoutMs = TIMEOUT_MS, ...rest } = {}) {
  const timeout = AbortSignal.timeout(timeoutMs);
  if (token) headers = { ...headers, Authorization: `Bearer ${token}` };
  let response;
  try {
    response = await fetch(url, {
      ...rest, headers, signal: signal ? AbortSignal.any([signal, timeout]) : timeout, credentials: "same-origin",
    });
  } catch {
    signal?.throwIfAborted();
    throw new Problem("unreachable");
  }
  const offset = Date.parse(response.headers.get("Date")) - Date.now();
  if (Math.abs(offset) > 2000) clockOffset = offset; // smaller differences are the header's own grain
  if (!response.ok) {
    throw problem(response.status, await response.text().catch(() => ""), response.headers.get("Retry-After"));
  }
  return response;
}

/** Opens a media session of `camera` at `server`, an URL; the answer of POST /v1/media/sessions. */
export async function openSession(server, { camera, token, signal = null }) {
  const answer = await call(new URL("/v1/media/sessions", server), {
    method: "POST", signal, token, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ camera }),
  });
  return answer.json();
}
