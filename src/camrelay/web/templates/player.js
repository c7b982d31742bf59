// The player of camrelay at its lasting address; see {{ static }}/player.js for how to use it.
import "./{{ static[1:] }}/words.js";
import "./{{ static[1:] }}/text.js";
import "./{{ static[1:] }}/api.js";
import "./{{ static[1:] }}/transport_webrtc.js";
import "./{{ static[1:] }}/transport_hls.js";
import "./{{ static[1:] }}/head_start.js";
import "./{{ static[1:] }}/renewal.js";
import "./{{ static[1:] }}/playback.js";
import "./{{ static[1:] }}/player_look.js";
export { CameraPlayer } from "./{{ static[1:] }}/player.js";
