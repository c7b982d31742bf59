// Words and numbers as people read them. The words stand in the catalogue, which the server makes words.js of, and
// more_words.js for whatever is not on the pages to watch on; this module fills them in and formats times, durations and
// rates in the reader's own manner.

import { language, words } from "./words.js";

const locale = navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;
const plurals = new Intl.PluralRules(locale);
const formats = new Map();

/** The words under `key`, such as "state.live"; `{name}` is replaced by values.name, plurals chosen by values.count. */
export function say(key, values = {}) {
  let text = key.split(".").reduce((branch, name) => branch?.[name], words) ?? key;
  if (typeof text === "object") text = text[plurals.select(values.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Like say, or null when the catalogue has no such words. */
export function sayIfKnown(key, values) {
  const text = say(key, values);
  return text === key ? null : text;
}

function formatter(make, ...options) {
  const key = make.name + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new make(locale, ...options));
  return formats.get(key);
}

function dateFormat(options) {
  try {
    return formatter(Intl.DateTimeFormat, options);
  } catch {
    return formatter(Intl.DateTimeFormat, { ...options, timeZone: "UTC" }); // a zone this browser does not know
  }
}

/** A moment (ms since 1970) as a clock in `timeZone` shows it, with the zone; with the day unless it is today. */
export function clock(ms, timeZone = "UTC", { seconds = false } = {}) {
  const day = dateFormat({ timeZone, year: "numeric", month: "numeric", day: "numeric" });
  const options = { timeZone, hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
  if (seconds) options.second = "2-digit";
  else if (day.format(ms) !== day.format(Date.now())) Object.assign(options, { day: "numeric", month: "short" });
  return dateFormat(options).format(ms);
}

/** A moment (ms since 1970) as a clock in `timeZone` shows it, to the second, without the day. */
export function time(ms, timeZone = "UTC") {
  return dateFormat({ timeZone, hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(ms);
}

export function number(value, digits = 0) {
  return formatter(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);
}

function unit(value, name, { digits = 0, display = "short" } = {}) {
  return formatter(Intl.NumberFormat, {
    style: "unit", unit: name, unitDisplay: display, minimumFractionDigits: digits, maximumFractionDigits: digits,
  }).format(value);
}

/** "12 seconds", "3 minutes", "2 hours", "4 days". */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [size, name] = [[86_400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]].find(([size]) => seconds >= size)
    ?? [1, "second"];
  return unit(Math.floor(seconds / size), name, { display: "long" });
}

/** "84 ms", "1.4 s". */
export function delay(ms) {
  return ms < 1000 ? say("player.ms", { value: number(ms) }) : say("player.seconds", { value: number(ms / 1000, 1) });
}

/** "2.1 Mb/s", "640 kb/s". */
export function bitRate(bps) {
  return bps >= 1e6 ? unit(bps / 1e6, "megabit-per-second", { digits: 1 }) : unit(Math.round(bps / 1e3), "kilobit-per-second");
}
