// Who is looking: the grant that came in the page's address, kept for this tab only.
//
// A link ends in #token=…; the part after # never reaches a server. It is taken out of the address at once, so
// that it does not stay in the history, and goes to the API in the Authorization header.

const KEY = "camrelay.token";
const listeners = [];
let token = null;

/** The grant, or null. */
export const currentToken = () => token;

/** Calls `act` when somebody signs in or out. */
export const onToken = (act) => listeners.push(act);

export function signIn(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.clear(); // last pictures too
  } catch {
    // No storage in this frame: the token lasts as long as the page.
  }
  for (const act of listeners) act();
}

/** The token in what somebody pasted, a link or the token itself; null when it is neither. */
export function tokenIn(pasted) {
  const value = pasted.trim().replace(/^.*#token=/s, "");
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(value) ? value : null;
}

/** Whether the grant says that it allows to add cameras; what it is worth, the server decides. */
export function mayManage() {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return claims.act.includes("manage") && claims.cam.includes("*");
  } catch {
    return false;
  }
}

function takeFromAddress() {
  if (!location.hash.startsWith("#token=")) return false;
  const found = tokenIn(decodeURIComponent(location.hash));
  history.replaceState(history.state, "", location.pathname + location.search);
  if (found) signIn(found);
  return found !== null;
}

if (!takeFromAddress()) {
  try {
    token = sessionStorage.getItem(KEY);
  } catch {
    // No storage in this frame.
  }
}
addEventListener("hashchange", takeFromAddress);
