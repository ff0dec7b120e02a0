// Documents of the nimbus that served this page, and changes that it is asked for.

/** Why something could not be had: what was wanted, why not, and what to do. */
export class Refused extends Error {
  constructor(status, { code, what, why, fix }) {
    super(`${what}: ${why}`);
    Object.assign(this, { status, code, what, why, fix });
  }
}

const PATIENCE_MS = 10_000;

/** That nobody answers. */
export const unreachable = (why) => new Refused(0, {
  what: "no answer from nimbus",
  why,
  fix: "this page goes on asking; look whether `squall nimbus` runs, or open the page of another nimbus",
});

/** What an answer says that is none. */
export function refusal(response, body) {
  const told = body?.error ?? {};
  return new Refused(response.status, {
    code: told.code,
    what: told.what ?? "nimbus refused",
    why: told.why ?? `it answered ${response.status} ${response.statusText}`,
    fix: told.fix ?? "",
  });
}

async function ask(path, options) {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { ...options, signal, credentials: "same-origin" });
  } catch (error) {
    throw unreachable(error.name === "TimeoutError" ? "it did not answer within 10 s" : "it cannot be reached");
  }
  let body = null;
  if (response.headers.get("content-type")?.includes("json")) {
    body = await response.json().catch(() => null);
  } else {
    // A stream would never end.
    await response.body?.cancel();
  }
  if (response.ok && body !== null) {
    const standby = response.headers.get("squall-standby");
    return { body, standby: standby && { id: standby, leader: response.headers.get("squall-leader") } };
  }
  throw refusal(response, body);
}

/** An address from parts and a query; parts may hold anything. */
export function address(parts, query = {}) {
  const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const text = asked.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return parts.map(encodeURIComponent).join("/") + (text && `?${text}`);
}

/** Gets a document. */
export const get = (parts, query) => ask(address(parts, query), { headers: { accept: "application/json" } });

// Kinds of documents that this nimbus has not got: it is not asked for them again.
const absent = new Map();

/** Gets a document that not every nimbus has: the document, or why there is none. */
export async function perhaps(kind, parts, query) {
  if (absent.has(kind)) return absent.get(kind);
  try {
    return (await get(parts, query)).body;
  } catch (error) {
    if ([200, 404, 406].includes(error.status)) absent.set(kind, error);
    return error;
  }
}

/** Asks for a change; `key` makes that it is done once, however often it is sent. */
export function post(parts, body, key) {
  const headers = { "content-type": "application/json", "idempotency-key": key };
  return ask(address(parts), { method: "POST", headers, body: JSON.stringify(body) });
}

/** A key for one change. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
