// Parses every playlist of a JSON array on stdin with hls-parser in its strict mode; prints what it says of each.
const HLS = require("hls-parser");
HLS.setOptions({ strictMode: true, silent: true });
const texts = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const said = texts.map((text) => {
  try {
    const { isMasterPlaylist, segments, variants } = HLS.parse(text);
    return { count: (isMasterPlaylist ? variants : segments).length };
  } catch (error) {
    return { error: String(error.message) };
  }
});
console.log(JSON.stringify(said));
