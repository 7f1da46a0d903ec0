// Icons: lines on a grid of 20 by 20, in the colour of the text beside them.

import { svg } from "./dom.js";

/** @type {Record<string, string>} */
const PATHS = {
  overview: "M10 2.8 3.8 5.2v4.6c0 3.7 2.6 6.3 6.2 7.4 3.6-1.1 6.2-3.7 6.2-7.4V5.2zM7.3 10l2 2 3.6-3.9",
  backups: "M3.5 6.5h13M3.5 6.5v8a1.8 1.8 0 0 0 1.8 1.8h9.4a1.8 1.8 0 0 0 1.8-1.8v-8M3.5 6.5l1.3-2.8h10.4l1.3 2.8M8 10h4",
  restore: "M4 10a6 6 0 1 0 2-4.5M6.2 2.8 5.8 5.8l3 .3M10 7v3.3l2.2 1.3",
  schedules: "M4.8 4.5h10.4a1.3 1.3 0 0 1 1.3 1.3v9.4a1.3 1.3 0 0 1-1.3 1.3H4.8a1.3 1.3 0 0 1-1.3-1.3V5.8a1.3 1.3 0 0 1 1.3-1.3zM3.5 8.3h13M7 2.8v3M13 2.8v3M10 10.5v2.2l1.6.8",
  activity: "M2.8 10.5h3l2.2-6 4 11 2.2-5h3",
  repository: "M10 3c3.6 0 6.3 1.1 6.3 2.5S13.6 8 10 8 3.7 6.9 3.7 5.5 6.4 3 10 3zM3.7 5.5v9c0 1.4 2.7 2.5 6.3 2.5s6.3-1.1 6.3-2.5v-9M3.7 10c0 1.4 2.7 2.5 6.3 2.5s6.3-1.1 6.3-2.5",
  settings: "M3.5 6h6.5M14 6h2.5M3.5 14H6M10 14h6.5M12 4a2 2 0 1 1 0 4 2 2 0 0 1 0-4zM8 12a2 2 0 1 1 0 4 2 2 0 0 1 0-4z",
  search: "M9 3.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM13.1 13.1l3.6 3.6",
  check: "M4.5 10.5l3.6 3.6 7.4-8",
  alert: "M10 3.3 2.8 16h14.4zM10 8.2v3.6M10 14h.01",
  info: "M10 2.8a7.2 7.2 0 1 1 0 14.4 7.2 7.2 0 0 1 0-14.4zM10 9.3v4.2M10 6.5h.01",
  cross: "M5 5l10 10M15 5 5 15",
  plus: "M10 4v12M4 10h12",
  chevron: "M7.5 4.5 13 10l-5.5 5.5",
  down: "M4.5 7.5 10 13l5.5-5.5",
  back: "M12.5 4.5 7 10l5.5 5.5",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
  user: "M10 3.5a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4zM3.8 16.5c.8-2.7 3.2-4 6.2-4s5.4 1.3 6.2 4",
  key: "M12.8 3.2a4 4 0 1 1-1.5 7.7L9.5 12.7H7.8v1.8H6v2H3.2v-2.8l5.9-5.9a4 4 0 0 1 3.7-4.6zM13.5 6.5h.01",
  bell: "M5 13.8V9a5 5 0 0 1 10 0v4.8M3.5 13.8h13M8.3 16.5h3.4",
  sun: "M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M4.3 15.7l1.1-1.1M14.6 5.4l1.1-1.1",
  moon: "M16.5 11.8A6.8 6.8 0 0 1 8.2 3.5a6.8 6.8 0 1 0 8.3 8.3z",
  screen: "M3.8 4h12.4a1 1 0 0 1 1 1v7.5a1 1 0 0 1-1 1H3.8a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM7 16.5h6M10 13.5v3",
  logout: "M8 3.5H5a1.5 1.5 0 0 0-1.5 1.5v10A1.5 1.5 0 0 0 5 16.5h3M12.5 6.5 16 10l-3.5 3.5M16 10H8",
  play: "M6.5 4.2v11.6L15.5 10z",
  pause: "M7 4.5v11M13 4.5v11",
  stop: "M5.5 5.5h9v9h-9z",
  edit: "M12.8 4.2l3 3L7.5 15.5l-3.8.8.8-3.8z",
  trash: "M4 5.5h12M8 5.5V3.8h4v1.7M5.5 5.5l.7 10.7h7.6l.7-10.7M8.5 8.5v5M11.5 8.5v5",
  pin: "M7 3.5h6l-.7 5 2.7 2.8H5l2.7-2.8zM10 11.3v5.5",
  tag: "M3.5 3.5h6l7 7-6 6-7-7zM6.8 6.8h.01",
  folder: "M3 15V5.2a1 1 0 0 1 1-1h3.7l1.8 2H16a1 1 0 0 1 1 1V15a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1z",
  file: "M5.5 2.8h6l3.5 3.5v10.9H5.5zM11.3 2.8v3.7H15",
  link: "M8.5 11.5a3 3 0 0 0 4.2 0l2.8-2.8a3 3 0 0 0-4.2-4.2l-1 1M11.5 8.5a3 3 0 0 0-4.2 0l-2.8 2.8a3 3 0 0 0 4.2 4.2l1-1",
  download: "M10 3.5v9M6.2 9 10 12.7 13.8 9M3.8 16.5h12.4",
  clock: "M10 2.8a7.2 7.2 0 1 1 0 14.4 7.2 7.2 0 0 1 0-14.4zM10 6v4.3l2.8 1.6",
  calendar: "M4.8 4.5h10.4a1.3 1.3 0 0 1 1.3 1.3v9.4a1.3 1.3 0 0 1-1.3 1.3H4.8a1.3 1.3 0 0 1-1.3-1.3V5.8a1.3 1.3 0 0 1 1.3-1.3zM3.5 8.3h13M7 2.8v3M13 2.8v3",
  compare: "M6.5 3.5v13M3.5 13.5l3 3 3-3M13.5 16.5v-13M10.5 6.5l3-3 3 3",
  shield: "M10 2.8 3.8 5.2v4.6c0 3.7 2.6 6.3 6.2 7.4 3.6-1.1 6.2-3.7 6.2-7.4V5.2z",
  heart: "M10 16.5S3.5 12.7 3.5 8a3.4 3.4 0 0 1 6.5-1.5A3.4 3.4 0 0 1 16.5 8c0 4.7-6.5 8.5-6.5 8.5z",
  print: "M6 7.5v-4h8v4M6 13.5H3.8v-6h12.4v6H14M6 11.5h8v5H6z",
  mirror: "M3.5 4.5h7v7h-7zM8 14v1.5h8.5V8H14",
  copy: "M7 7h9.5v9.5H7zM13 7V3.5H3.5V13H7",
  offline: "M3 3l14 14M8.3 13.2a2.6 2.6 0 0 1 3.6.1M5.5 10.5A6.6 6.6 0 0 1 8 9M12.3 9.2a6.6 6.6 0 0 1 2.2 1.3M2.8 7.8a10.5 10.5 0 0 1 3-1.9M9 5a10.5 10.5 0 0 1 8.2 2.8",
  refresh: "M16 10a6 6 0 1 1-2-4.5M13.8 2.8l.4 3-3 .3",
  database: "M10 3c3.6 0 6.3 1.1 6.3 2.5S13.6 8 10 8 3.7 6.9 3.7 5.5 6.4 3 10 3zM3.7 5.5v9c0 1.4 2.7 2.5 6.3 2.5s6.3-1.1 6.3-2.5v-9",
  more: "M5 10h.01M10 10h.01M15 10h.01",
  image: "M3.5 4.5h13v11h-13zM3.5 13l3.5-3.5 3 3 2.5-2.5 4 4M12.8 7.5h.01",
  filter: "M3.5 5h13l-5 6v5l-3-1.5V11z",
};

/** Grows with the text on large screens. @param {number} size pixels where text has its usual size */
const sized = (size) => ({ width: size, height: size, css: { width: `${size / 16}rem`, height: `${size / 16}rem` } });

/**
 * An icon, hidden from screen readers: the words beside it say the same.
 * @param {string} name
 * @param {number} [size] pixels
 */
export function icon(name, size = 20) {
  return svg(
    "svg",
    {
      class: "icon", viewBox: "0 0 20 20", fill: "none", ...sized(size),
      stroke: "currentColor", "stroke-width": 1.5, "stroke-linecap": "round",
      "stroke-linejoin": "round", "aria-hidden": "true", focusable: "false",
    },
    svg("path", { d: PATHS[name] ?? PATHS.info }),
  );
}

/** The mark of the program. */
export function logo(size = 28) {
  return svg(
    "svg",
    { class: "logo", viewBox: "0 0 32 32", ...sized(size), "aria-hidden": "true" },
    svg("rect", { class: "logo-ground", width: 32, height: 32, rx: 8 }),
    svg(
      "g",
      { class: "logo-lines", fill: "none", "stroke-width": 2, "stroke-linecap": "round", "stroke-linejoin": "round" },
      svg("path", { d: "M10.5 7.5h11M11 11.5c-1.6 1-2.5 2-2.5 4v7a3 3 0 0 0 3 3h9a3 3 0 0 0 3-3v-7c0-2-.9-3-2.5-4z" }),
      svg("path", { d: "M12.5 18.7l2.5 2.5 4.6-4.8" }),
    ),
  );
}
