// What <camera-player> is made of: its markup and its style. Pictures lie on near-black in light pages too.

import { say } from "./text.js";

const SHAPES = {
  play: "M8 5.5v13l11-6.5z",
  pause: "M8.5 5v14M15.5 5v14",
  sound: "M4 9.5v5h3.5l4.5 4v-13l-4.5 4zM16 9.2a4.5 4.5 0 0 1 0 5.6M18.6 6.6a8 8 0 0 1 0 10.8",
  silent: "M4 9.5v5h3.5l4.5 4v-13l-4.5 4zM16.5 9.7l4.8 4.8M21.3 9.7l-4.8 4.8",
  fill: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  leave: "M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5",
  gauge: "M12 14.5l4-5M5.6 18.5a9 9 0 1 1 12.8 0",
  offline: "M10.5 7H14a2 2 0 0 1 2 2v2.6l5-3v7.8M16 16a2 2 0 0 1-2 1H5a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2h1.5M3 3l18 18",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  clock: "M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17zM12 7.5V12l3 2",
  unreachable: "M3 3l18 18M5.2 12.6a10 10 0 0 1 4-2.4M2 9a15 15 0 0 1 4.6-2.8M10.6 5.1A15 15 0 0 1 22 9"
    + "M14.7 10.3a10 10 0 0 1 4.1 2.3M8.6 16a5 5 0 0 1 6.8 0M12 19.5h.01",
  unsupported: "M4 5h16v11H4zM9 20h6M10 8.5l4 4M14 8.5l-4 4",
};

/** The picture that stands beside the words of a state. */
export const STATE_SHAPE = {
  offline: "offline", denied: "lock", "signed-out": "lock", ended: "clock", busy: "clock",
  unreachable: "unreachable", unsupported: "unsupported", paused: "play",
};

export const shape = (name) => SHAPES[name];

const icon = (name) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${SHAPES[name]}"/></svg>`;

export const MARKUP = `
<div class="stage" part="stage">
  <video part="video" playsinline></video>
  <canvas part="still" aria-hidden="true"></canvas>
  <div class="progress" aria-hidden="true"></div>
  <div class="notice" part="notice" hidden>
    ${icon("offline")}
    <p class="headline"></p>
    <p class="hint"></p>
  </div>
  <p class="ending" part="notice" hidden></p>
  <dl class="stats" part="stats" hidden></dl>
  <div class="bar" part="controls" hidden>
    <button class="play" type="button">${icon("pause")}</button>
    <button class="mute" type="button">${icon("silent")}</button>
    <button class="chip" type="button" disabled><i></i><span></span></button>
    <span class="space"></span>
    <button class="delay" type="button" aria-pressed="false">${icon("gauge")}<span></span></button>
    <div class="route" role="group"><button type="button" value="webrtc"></button
      ><button type="button" value="hls"></button></div>
    <button class="fill" type="button">${icon("fill")}</button>
  </div>
  <p class="spoken" role="status"></p>
</div>`;

/** Puts the words that never change on the controls. */
export function label(root) {
  const measure = root.querySelector(".delay");
  measure.title = say("player.measure");
  measure.querySelector("span").textContent = say("player.delay");
  root.querySelector(".route").setAttribute("aria-label", say("player.route"));
  for (const button of root.querySelectorAll(".route button")) {
    button.textContent = say(`player.${button.value}`);
    button.title = say(`player.${button.value}_title`);
  }
}

export const STYLE = `
:host {
  --accent: var(--camrelay-accent, #4fd1a5);
  --surface: var(--camrelay-surface, #16191d);
  --warning: var(--camrelay-warning, #f0b35a);
  display: block;
  aspect-ratio: 16 / 9;
  border-radius: var(--camrelay-radius, 8px);
  overflow: hidden;
  position: relative;
  color: #f3f5f7;
  font: 400 14px/20px var(--camrelay-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
  container-type: inline-size;
  user-select: none;
  -webkit-user-select: none;
}
:host([hidden]) { display: none }
:host(:focus-visible) { outline: 2px solid var(--accent); outline-offset: 2px }
:host(:fullscreen) { border-radius: 0; aspect-ratio: auto; width: 100%; height: 100% }
[hidden] { display: none !important }
p, dl, dd, dt { margin: 0 }
.stage { position: absolute; inset: 0; background: linear-gradient(165deg, #20252b, var(--surface) 70%) }
.stage[data-cursor=hidden] { cursor: none }
video, canvas { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain }
:host([fit=cover]) :is(video, canvas) { object-fit: cover }
:host([fit=cover]) video { scale: 1.005 } /* no hairline where a tile ends between two pixels */
canvas { visibility: hidden; opacity: 0 }
.stage[data-still] canvas { visibility: visible; opacity: 1 }
.stage[data-still=fresh]:is([data-state=live], [data-state=catching-up]) canvas,
.stage[data-state=live] canvas {
  visibility: hidden; opacity: 0; transition: opacity 150ms, visibility 0s 150ms
}
/* A short gap keeps its sharp last picture; only a longer one is blurred, and an old picture always is. */
.stage:is([data-state=connecting], [data-state=waiting], [data-state=idle]) canvas {
  filter: blur(12px) brightness(.8); scale: 1.06; transition: filter 400ms 600ms, scale 400ms 600ms
}
.stage[data-still=old] canvas { transition: none !important; filter: blur(12px) brightness(.8); scale: 1.06 }
.stage:is([data-state=offline], [data-state=unreachable], [data-state=busy]) :is(canvas, video) {
  filter: grayscale(1) brightness(.42) blur(2px); scale: 1.02; transition: filter 400ms
}
.stage[data-state=paused] canvas { filter: brightness(.7) }
.stage:is([data-state=denied], [data-state=signed-out], [data-state=ended], [data-state=unsupported])
  :is(canvas, video) { visibility: hidden }

svg { width: 20px; height: 20px; flex: none; fill: none; stroke: currentColor; stroke-width: 1.75;
  stroke-linecap: round; stroke-linejoin: round }
.play svg path[d^="M8 5.5"] { fill: currentColor }

.progress { position: absolute; inset: auto 0 0; height: 2px; overflow: hidden; display: none }
.stage:is([data-state=connecting], [data-state=waiting], [data-state=catching-up]) .progress { display: block }
.progress::before { content: ""; position: absolute; inset: 0 auto 0 0; width: 30%; background: var(--accent);
  opacity: .9; animation: sweep 1.6s ease-in-out infinite }
@keyframes sweep { from { translate: -100% } to { translate: 334% } }

.notice { position: absolute; inset: 0; display: flex; flex-direction: column; align-items: center;
  justify-content: center; text-align: center; gap: 4px; padding: 12px 24px; text-wrap: balance;
  text-shadow: 0 1px 3px rgb(0 0 0 / .5); pointer-events: none }
.notice svg { width: 28px; height: 28px; margin-bottom: 4px; opacity: .85 }
.headline { font-weight: 600; font-size: 16px; line-height: 24px }
.hint { color: #cdd4db; font-variant-numeric: tabular-nums; max-width: 44ch }
:host(:not([controls])) .stage[data-state=offline] .headline { display: none }
:host([controls]) .notice { padding-bottom: 56px }
/* States that pass by themselves speak quietly, from the corner. */
.notice.quiet { inset: auto auto 10px 10px; flex-direction: row; padding: 3px 10px; border-radius: 8px; gap: 8px;
  background: rgb(13 15 18 / .72); text-shadow: none; text-align: start }
.notice.quiet :is(svg, .hint) { display: none }
.notice.quiet .headline { font-size: 14px; line-height: 20px; font-weight: 400 }
:host([controls]) .notice.quiet { display: none }
@container (min-width: 560px) {
  :host([controls]) .notice:not(.quiet) .headline { font-size: 20px; line-height: 28px }
}
@container (max-width: 200px) { .hint { display: none } }

.ending, .stats { position: absolute; inset: auto 12px 64px auto; padding: 6px 12px; border-radius: 8px;
  background: rgb(13 15 18 / .78) }
.ending { inset: 12px 12px auto auto; color: var(--warning) }
.stage:not([data-state=live], [data-state=catching-up]) .stats { display: none }
.stats { display: grid; grid-template-columns: auto auto; gap: 0 12px; font-variant-numeric: tabular-nums; padding: 8px 12px }
.stats dt { color: #b6bfc8 }
.stats dd { text-align: end }
.stats :is(dt, dd):nth-of-type(1) { font-weight: 600; color: #f3f5f7 }

.bar { position: absolute; inset: auto 0 0; display: flex; align-items: center; gap: 4px; padding: 40px 8px 8px;
  background: linear-gradient(transparent, rgb(8 10 12 / .62) 40%, rgb(8 10 12 / .9)); transition: opacity 150ms }
.bar.away { opacity: 0; pointer-events: none }
.bar:focus-within { opacity: 1; pointer-events: auto }
.space { flex: 1 }
button:not(.chip), .route { flex: none }
button { font: inherit; color: inherit; background: none; border: 0; margin: 0; padding: 0 10px; height: 36px;
  min-width: 36px; border-radius: 8px; display: inline-flex; align-items: center; justify-content: center; gap: 6px;
  cursor: pointer; white-space: nowrap }
button:hover:not(:disabled) { background: rgb(255 255 255 / .14) }
button:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px }
button:disabled { cursor: default }
.mute:disabled { opacity: .45 }
.play, .mute, .fill { padding: 0 8px }
.chip { font-variant-numeric: tabular-nums; flex: 0 1 auto; justify-content: start }
.chip span { overflow: hidden; text-overflow: ellipsis }
.chip i { flex: none; width: 8px; height: 8px; border-radius: 50%; box-sizing: border-box; border: 2px solid #b6bfc8 }
.stage[data-state=live] .chip i { background: var(--accent); border-color: var(--accent) }
.stage[data-state=offline] .chip i { border-color: var(--warning) }
.route { display: flex; gap: 2px; padding: 2px; border-radius: 8px; background: rgb(255 255 255 / .14) }
.route button { height: 32px; border-radius: 6px; color: #d5dbe1 }
.route button[aria-pressed=true] { background: rgb(255 255 255 / .92); color: #14171b }
.delay[aria-pressed=true] { background: rgb(255 255 255 / .16) }
@container (max-width: 520px) {
  .delay span { display: none }
  .bar { gap: 0; padding: 20px 4px 4px }
  .route button { padding: 0 8px }
}
@container (max-width: 340px) { .chip span { display: none } }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }

@media (prefers-reduced-motion: reduce) {
  *, *::before { transition: none !important }
  .progress::before { animation: none; width: 100%; opacity: .5 }
}
@media (forced-colors: active) { .route button[aria-pressed=true] { outline: 2px solid } }
`;
