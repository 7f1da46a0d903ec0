// "Am I safe?" at the first glance.

import { api, path } from "../parts/api.js";
import { h } from "../parts/dom.js";
import { pageHead } from "../parts/page.js";
import { loaded, skeleton, soon } from "../parts/states.js";
import { text } from "../strings.js";
import { drawRepository } from "./overview_parts.js";

/** @param {import("./index.js").Context} context */
export function render(context) {
  const parts = context.repositories.map((repository) => loaded({
    load: async (signal) => {
      const own = path`/repositories/${repository.name}`;
      const [status, stats, schedules, history] = await Promise.all([
        api.get(`${own}/status`, {}, signal), api.get(`${own}/stats`, {}, signal), api.get(`${own}/schedules`, {}, signal),
        // Old daemons do not have it, and a chart is not worth an error.
        api.get(`${own}/stats/history`, { days: 90 }, signal).catch(() => null),
      ]);
      return { repository, status, stats, schedules, history };
    },
    draw: (found) => drawRepository(context, found),
    skeleton: skeleton(4, "cards"),
    class: "overview-part",
  }));
  const again = soon(() => { for (const part of parts) void part.reload(); }, 600);
  const KINDS = ["job_ended", "snapshots_changed", "schedule_changed", "repository_away", "repository_back", "alert_raised", "alert_cleared", "reset"];
  context.listen((happening) => { if (KINDS.includes(happening.type)) again(); });
  const minute = setInterval(again, 60_000);
  const node = h("div", { class: "overview" }, pageHead({ title: text.nav.overview }), parts.map((part) => part.node));
  return {
    title: text.nav.overview, node,
    stop: () => {
      clearInterval(minute);
      again.stop();
      for (const part of parts) part.stop();
    },
  };
}
