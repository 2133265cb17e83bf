// Calls to the server, and how their answers are shown alike.

import { say } from "./words.js";

let token = "";

export function useToken(value) {
  token = value.trim();
}

export class Failed extends Error {}

// POSTs a body; gives the answer and the milliseconds it took. A newer call with the same signal ends an older one.
export async function ask(path, body, type, signal) {
  const headers = { "content-type": type };
  if (token) headers.authorization = `Bearer ${token}`;
  const began = performance.now();
  let response;
  try {
    response = await fetch(path, { method: "POST", headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(say("offline"));
  }
  const answer = await response.json().catch(() => null);
  if (response.status === 401 || response.status === 403) {
    document.getElementById("token-form").hidden = false;
    document.getElementById("token").focus();
  }
  if (!response.ok) throw new Failed(answer?.error?.message ?? `HTTP ${response.status}`);
  return { answer, ms: performance.now() - began };
}

// Fills a list with candidates, each a text and a bar as long as it is likely.
export function showBars(list, candidates) {
  list.replaceChildren(...candidates.map(({ text, confidence }) => {
    const item = document.createElement("li");
    const what = document.createElement("span");
    const track = document.createElement("span");
    const bar = document.createElement("div");
    const share = document.createElement("span");
    what.className = "what";
    what.lang = "zh-CN";
    what.textContent = text;
    track.className = "track";
    bar.className = "bar";
    bar.style.width = `${Math.max(0.5, 100 * confidence)}%`;
    share.className = "share";
    share.textContent = `${(100 * confidence).toFixed(confidence > 0.9995 || confidence < 0.0005 ? 0 : 1)} %`;
    track.append(bar);
    item.append(what, track, share);
    return item;
  }));
}

export function note(element, text, isError = false) {
  element.textContent = text;
  element.classList.toggle("error", isError);
}

export function made(model, answer, ms) {
  return say("made", { model, version: answer.model_version, ms: ms.toFixed(0) });
}
