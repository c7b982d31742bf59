// The player alone, for an iframe; a token may come in the frame's address as on any page.

import { currentToken, onToken } from "./account.js";
import "./player.js";

const player = document.querySelector("camera-player");
player.token = currentToken();
player.setAttribute("camera", player.dataset.camera);
onToken(() => (player.token = currentToken()));
document.addEventListener("keydown", (event) => event.target === document.body && player.pressKey(event));
