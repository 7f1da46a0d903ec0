// Light or dark: like the system, or as was chosen in this browser.

const KEY = "larder-theme";

/** @typedef {"system" | "light" | "dark"} Theme */

/** What can be remembered in this browser; some forbid it. */
export const memory = {
  /** @param {string} key */
  get: (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  /** @param {string} key @param {string} value */
  set: (key, value) => {
    try {
      localStorage.setItem(key, value);
    } catch {
      // It is as it was at the next visit.
    }
  },
};

/** @returns {Theme} */
export function chosenTheme() {
  const kept = memory.get(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** Told when another one is chosen. @type {Set<() => void>} */
export const themeListeners = new Set();

/** @param {Theme} theme */
export function setTheme(theme) {
  memory.set(KEY, theme);
  apply(theme);
  for (const listener of themeListeners) listener();
}

/** @param {Theme} theme */
function apply(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

apply(chosenTheme());
