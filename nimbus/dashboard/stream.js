// Server-sent events of the nimbus that served this page, read by `fetch`, so that a refusal says why.

import { address, refusal, unreachable } from "./api.js";

/** The event that a block of lines makes. */
function eventOf(block) {
  const lines = block.split("\n");
  const of = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ""));
  const data = of("data").join("\n");
  // A number that this language cannot hold is shown as it was written.
  const exact = (_, value, context) =>
    (typeof value === "number" && context?.source && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source) ? context.source : value);
  return data && { kind: of("event")[0] ?? "message", data: JSON.parse(data, exact) };
}

/** Calls `take` with each event until it ends; throws why if it is refused or breaks off. */
async function read(path, signal, take) {
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { headers: { accept: "text/event-stream" }, credentials: "same-origin", signal });
  } catch (error) {
    throw signal.aborted ? error : unreachable("it cannot be reached");
  }
  if (!response.ok || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw refusal(response, await response.json().catch(() => null));
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw signal.aborted ? error : unreachable("it broke off");
    });
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = eventOf(block);
      if (event) take(event);
    }
  }
}

/**
 * Follows a live view: `take` gets each event, `ended` is called once, with why if it did not end by
 * itself. Returns what stops it.
 */
export function follow(parts, query, { take, ended }) {
  const control = new AbortController();
  read(address(parts, query), control.signal, (event) => !control.signal.aborted && take(event))
    .then(() => null, (error) => error)
    .then((error) => !control.signal.aborted && ended(error));
  return () => control.abort();
}
