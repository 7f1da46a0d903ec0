// Asks the daemon. What goes wrong comes as a `Problem`, with words for people and what to try.

import { text } from "../strings.js";

const BASE = "/api/v1";
/** A request that nobody answers is given up after so long, milliseconds. */
const LONGEST = 60_000;

/** Why a request was not done. */
export class Problem extends Error {
  /**
   * @param {number} status the HTTP status; 0: no answer at all
   * @param {string} code names the kind for programs
   * @param {string} detail
   * @param {string | null} hint what to try
   */
  constructor(status, code, detail, hint) {
    super(detail);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** @typedef {{ query?: Record<string, any>, signal?: AbortSignal, body?: unknown, headers?: Record<string, string> }} Options */

/** Told about each answer: whether the daemon can be reached. @type {Set<(isThere: boolean) => void>} */
const reachListeners = new Set();
/** Told when the session is over. @type {Set<() => void>} */
const endListeners = new Set();

/** @param {(isThere: boolean) => void} listener */
export function onReach(listener) {
  reachListeners.add(listener);
}

/** @param {() => void} listener */
export function onSessionEnd(listener) {
  endListeners.add(listener);
}

/**
 * The address of a route, for links and downloads. Parts of the path that are names have to come
 * through `encodeURIComponent`, as `path` does it.
 * @param {string} route
 * @param {Record<string, any>} [query]
 */
export function address(route, query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") parameters.set(name, String(value));
  }
  const tail = parameters.toString();
  return `${BASE}${route}${tail ? `?${tail}` : ""}`;
}

/**
 * A route out of its parts: `` path`/repositories/${name}/backups` ``.
 * @param {TemplateStringsArray} texts
 * @param {...string} names
 */
export function path(texts, ...names) {
  return texts.reduce((route, part, at) => route + encodeURIComponent(names[at - 1] ?? "") + part);
}

/** @param {Response} response */
async function problemOf(response) {
  /** @type {Partial<Api.Problem>} */
  let sent = {};
  try {
    sent = await response.json();
  } catch {
    // A proxy in between answers as it likes.
  }
  const detail = sent.detail ?? text.problem.status(response.status);
  return new Problem(response.status, sent.code ?? "unknown", detail, sent.hint ?? null);
}

/**
 * @param {string} method
 * @param {string} route
 * @param {Options} [options]
 * @returns {Promise<any>} the JSON of the answer; `null` if there is none
 */
async function send(method, route, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...options.headers };
  if (method !== "GET") headers["X-Larder-Csrf"] = "1";
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const late = AbortSignal.timeout(LONGEST);
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
  /** @type {Response} */
  let response;
  try {
    response = await fetch(address(route, options.query), {
      method, headers, signal, credentials: "same-origin",
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    for (const listener of reachListeners) listener(false);
    throw new Problem(0, "no_answer", text.problem.noAnswer, text.problem.noAnswerHint);
  }
  for (const listener of reachListeners) listener(true);
  if (response.status === 401 && !route.startsWith("/login") && !route.startsWith("/setup") && !route.startsWith("/password")) {
    for (const listener of endListeners) listener();
  }
  if (!response.ok) throw await problemOf(response);
  const sent = await response.text();
  if (!sent) return null;
  const kind = response.headers.get("content-type") ?? "";
  return kind.includes("json") ? JSON.parse(sent) : sent;
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const api = {
  /** @param {string} route @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
  get: (route, query, signal) => send("GET", route, { query, signal }),
  /** @param {string} route @param {unknown} [body] @param {Options} [options] */
  post: (route, body, options) => send("POST", route, { ...options, body }),
  /** @param {string} route @param {unknown} [body] */
  put: (route, body) => send("PUT", route, { body }),
  /** @param {string} route @param {unknown} [body] */
  patch: (route, body) => send("PATCH", route, { body }),
  /** @param {string} route @param {Record<string, any>} [query] */
  delete: (route, query) => send("DELETE", route, { query }),
  /**
   * Starts a job. Sent twice it starts one: if there is no answer, it is sent once more.
   * @param {string} route
   * @param {unknown} [body]
   * @returns {Promise<Api.Started>}
   */
  start: async (route, body = {}) => {
    const headers = { "Idempotency-Key": newKey() };
    try {
      return await send("POST", route, { body, headers });
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 0) throw error;
      return await send("POST", route, { body, headers });
    }
  },
};
