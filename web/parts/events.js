// What happens, as one stream for the whole page. A stream that breaks is asked for again, and goes
// on after the last event that came; `reset` says that some were missed.

import { address, api, onReach, Problem } from "./api.js";

/**
 * @typedef {{ id: number, type: string, time?: string, repository?: string | null,
 *   job?: Api.JobView, job_id?: string, progress?: Api.ProgressEvent, schedule_id?: string,
 *   backup_id?: string | null, message?: string, error?: string, alert_id?: string }} Happening
 */

export const TYPES = [
  "job_started", "job_progress", "job_ended", "schedule_changed", "snapshots_changed",
  "repository_away", "repository_back", "alert_raised", "alert_cleared", "settings_changed",
  "warning", "reset",
];

/** Longest and shortest time between two attempts, milliseconds. */
const WAIT_MIN = 1_000;
const WAIT_MAX = 20_000;

/** @type {Set<(happening: Happening) => void>} */
const listeners = new Set();
/** @type {Set<(isThere: boolean) => void>} */
const linkListeners = new Set();
/** @type {EventSource | null} */
let source = null;
let lastId = "";
let wait = WAIT_MIN;
let timer = 0;
let isWanted = false;
let isThere = true;

/** @param {Happening} happening */
function tell(happening) {
  for (const listener of [...listeners]) listener(happening);
}

/** @param {boolean} now */
function setThere(now) {
  if (now === isThere) return;
  isThere = now;
  for (const listener of linkListeners) listener(now);
  // Whatever is shown may be old by now.
  if (now) tell({ id: 0, type: "reset" });
}

function open() {
  if (!isWanted || source) return;
  const stream = new EventSource(address("/events", { last_event_id: lastId }));
  source = stream;
  stream.onopen = () => {
    wait = WAIT_MIN;
    setThere(true);
  };
  stream.onerror = () => {
    stream.close();
    if (source === stream) source = null;
    later();
  };
  for (const type of TYPES) {
    stream.addEventListener(type, (event) => {
      if (event.lastEventId) lastId = event.lastEventId;
      tell(JSON.parse(event.data));
    });
  }
}

/** Streams end now and then by themselves: only one that cannot be had again is a fault. */
function later() {
  clearTimeout(timer);
  if (!isWanted) return;
  timer = window.setTimeout(async () => {
    try {
      await api.get("/session");
    } catch (error) {
      if (error instanceof Problem) setThere(false);
      wait = Math.min(wait * 2, WAIT_MAX);
      later();
      return;
    }
    wait = Math.min(wait * 2, WAIT_MAX);
    open();
  }, wait * (0.7 + Math.random() * 0.3));
}

/** Tries now. */
export function reconnect() {
  wait = WAIT_MIN;
  clearTimeout(timer);
  source?.close();
  source = null;
  open();
}

/** Begins to listen. */
export function start() {
  isWanted = true;
  open();
}

/** Ends it: nobody is logged in any more. */
export function stop() {
  isWanted = false;
  clearTimeout(timer);
  source?.close();
  source = null;
  lastId = "";
  setThere(true);
}

/**
 * Listens to all that happens, until the function that comes back is called.
 * @param {(happening: Happening) => void} listener
 */
export function listen(listener) {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** @param {(isThere: boolean) => void} listener */
export function onLink(listener) {
  linkListeners.add(listener);
}

onReach((reached) => {
  if (!reached) {
    setThere(false);
    if (isWanted && !source) later();
  } else if (isWanted && source) {
    setThere(true);
  }
});
window.addEventListener("offline", () => setThere(false));
window.addEventListener("online", reconnect);
