// Numbers as people read them: one space between thousands, units behind, `–` where nothing is known.

export const NONE = "–";
const known = (number) => number !== null && number !== undefined && Number.isFinite(number);

/** A count in full: `1 234 567`. */
export const count = (number) =>
  known(number) ? String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, "\u202f") : NONE;

/** Three digits and a unit: `12.3 k`. */
export function short(number) {
  if (!known(number)) return NONE;
  const size = Math.abs(number);
  for (const [unit, factor] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (size >= factor * 0.9995) return `${digits(number / factor)} ${unit}`;
  }
  if (size !== 0 && size < 0.01) return "< 0.01";
  return Number.isInteger(number) ? String(number) : digits(number);
}

const digits = (number) => {
  const size = Math.abs(number);
  return number.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
};

/** Tuples a second: `12.3 k/s`. */
export const rate = (number) => (known(number) ? `${short(number)}/s` : NONE);

/** A latency in µs: `850 µs`, `12.3 ms`, `1.23 s`. */
export function latency(us) {
  if (!known(us)) return NONE;
  if (us < 1e3) return `${us < 10 ? digits(us) : Math.round(us)} µs`;
  return us < 1e6 ? `${digits(us / 1e3)} ms` : `${digits(us / 1e6)} s`;
}

/** A share of 1 as `87 %`. */
export const percent = (share) => (known(share) ? `${Math.round(share * 100)} %` : NONE);

/** Bytes: `12.3 MiB`. */
export function bytes(number) {
  if (!known(number)) return NONE;
  let at = 0;
  let rest = number;
  while (rest >= 1024 && at < 4) {
    rest /= 1024;
    at += 1;
  }
  return `${at === 0 ? rest : digits(rest)} ${["B", "KiB", "MiB", "GiB", "TiB"][at]}`;
}

/** How long: `3 d 4 h`, `5 min 12 s`, `0.4 s`. */
export function lasting(ms) {
  if (!known(ms)) return NONE;
  if (ms < 1e4) return `${(ms / 1e3).toFixed(1)} s`;
  const all = Math.floor(ms / 1e3);
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => all >= size);
  const [[unit, size], below] = [parts[first], parts[first + 1]];
  const rest = below ? Math.floor((all % size) / below[1]) : 0;
  return `${Math.floor(all / size)} ${unit}${rest ? ` ${rest} ${below[0]}` : ""}`;
}

/** The time of a day, to the millisecond. */
export function clock(ms) {
  const at = new Date(ms);
  const digits = (number, size) => String(number).padStart(size, "0");
  return `${digits(at.getHours(), 2)}:${digits(at.getMinutes(), 2)}:${digits(at.getSeconds(), 2)}.${digits(at.getMilliseconds(), 3)}`;
}

/** A word as a shell takes it. */
export const quoted = (word) => (/^[\w./:@%+=,-]+$/.test(word) ? word : `'${String(word).replaceAll("'", "'\\''")}'`);

/** A moment: the time of today, else with its day. */
export function moment(ms) {
  const at = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}
