// A repository with a story: hostile names, many files, and two backups between which things changed.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Larder, openBrowser } from "./harness.mjs";

export const MANY = 2_500;
const MARKUP = "<img src=x onerror=document.title='taken'>.txt";
const TURNED = "\u202Egpj.exe";
const LONG = `${"n".repeat(251)}.txt`;
const PICTURE = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==", "base64");

/** Makes it. `home` is the address of its views, `own` the route of its API. */
export async function tell() {
  const files = { "letter.txt": "Dear reader,\nhow are you?\n", "data.bin": Buffer.from(Array.from({ length: 4096 }, (_, at) => at % 251)), "picture.png": PICTURE };
  const [larder, browser] = await Promise.all([Larder.start({ files }), openBrowser()]);
  const own = await larder.own();
  const home = `/r/${encodeURIComponent(await larder.repository())}`;
  const backUp = async () => {
    const { job_id: id } = await larder.ask("POST", `${own}/backups`, { sources: [larder.documents] });
    const job = await larder.ended(id);
    assert.equal(job.status, "succeeded", job.error);
    return job.backup_id;
  };
  for (const name of [MARKUP, TURNED, LONG, "\u05D0\u05D1\u05D2.txt"]) larder.write(`odd/${name}`, "text");
  writeFileSync(Buffer.concat([Buffer.from(`${larder.documents}/odd/bad-`), Buffer.from([0xff, 0xfe])]), "x");
  mkdirSync(join(larder.documents, "many"));
  for (let at = 0; at < MANY; at += 1) writeFileSync(join(larder.documents, "many", `record-${String(at).padStart(5, "0")}.txt`), "");
  const older = await backUp();
  larder.write("letter.txt", "Dear reader,\nhow are you today?\n");
  larder.write("new.txt", "new\n");
  const newer = await backUp();
  const remove = async () => {
    await browser.close();
    await larder.remove();
  };
  return { larder, browser, own, home, older, newer, remove };
}
