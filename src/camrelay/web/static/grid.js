// The grid: every camera this viewer may watch, live, in the server's order.

import { currentToken, onToken } from "./account.js";
import { account, checkSignedIn, follow, pictureWords, put, role, showEmpty, showMeta } from "./frame.js";
import "./player.js";
import { say } from "./text.js";

const grid = document.getElementById("grid");
const template = document.getElementById("tile");
const tiles = new Map();

function addTile(camera) {
  const tile = document.importNode(template.content, true).firstElementChild; // a plain clone holds no player yet
  const player = tile.querySelector("camera-player");
  player.setAttribute("camera", camera.id);
  player.token = currentToken();
  tile.querySelector("a").href = `/cameras/${camera.id}`;
  tiles.set(camera.id, tile);
  return tile;
}

function showTile(camera) {
  const tile = tiles.get(camera.id) ?? addTile(camera);
  put(tile.querySelector("h2"), camera.title);
  put(tile.querySelector(".details"), pictureWords(camera));
  tile.querySelector("camera-player").status = camera;
  showMeta(tile.querySelector(".meta"), camera);
  return tile;
}

function show({ cameras }) {
  grid.removeAttribute("aria-busy");
  const known = new Set(cameras.map(({ id }) => id));
  for (const [id, tile] of tiles) {
    if (known.has(id)) continue;
    tile.remove();
    tiles.delete(id);
  }
  cameras.map(showTile).forEach((tile, place) => {
    if (grid.children[place] !== tile) grid.insertBefore(tile, grid.children[place] ?? null);
  });
  grid.dataset.size = cameras.length > 9 ? "many" : cameras.length > 4 ? "some" : cameras.length;
  const live = cameras.filter(({ state }) => state === "live").length;
  put(document.getElementById("summary"), cameras.length ? say("site.live_count", { live, all: cameras.length }) : "");
  const mine = account ? { operator: "own_", owner: "own_" }[role] ?? "shared_" : "";
  if (cameras.length) return;
  showEmpty(say(`empty.${mine}title`), say(`empty.${mine}hint`));
  checkSignedIn();
}

function refused() {
  show({ cameras: [] });
  const kind = currentToken() ? "refused_" : "";
  showEmpty(say(`empty.${kind}title`), say(`empty.${kind}hint`));
}

onToken(() => {
  for (const tile of tiles.values()) tile.querySelector("camera-player").token = currentToken();
});
follow("/v1/cameras", { show, refused });
