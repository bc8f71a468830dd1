// What the server is asked. Every failure is an ApiError whose message can be shown.

export class ApiError extends Error {
  constructor(message, status, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const MOST_TRIES = 4;

async function send(method, path, { query = {}, body, headers = {}, signal, patient = true } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const address = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const options = { method, signal, headers: { ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  for (let tries = 1; ; tries += 1) {
    const answer = await reached(address, options);
    if (answer.ok) return answer;
    const failure = await failureOf(answer);
    const isBusy = answer.status === 503 || answer.status === 429;
    if (!isBusy || !patient || tries === MOST_TRIES) throw failure;
    await pause(1000 * Math.min(failure.retryAfter ?? tries, 10), signal);
  }
}

async function reached(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is `toolkit serve` still running?", 0);
  }
}

async function failureOf(answer) {
  let text = "";
  try {
    const found = await answer.json();
    const detail = found.detail ?? found.error ?? found.message;
    text = typeof detail === "string" ? detail : (detail?.map?.((each) => each.msg).join("; ") ?? "");
  } catch {
    text = "";
  }
  const wait = Number(answer.headers.get("Retry-After"));
  const message = text || `The server answered ${answer.status} ${answer.statusText}`;
  return new ApiError(message, answer.status, wait > 0 ? wait : null);
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

const json = async (...request) => (await send(...request)).json();

export const models = () => json("GET", "/api/models");
export const images = (offset, limit) => json("GET", "/api/images", { query: { offset, limit } });
export const imageAddress = (name) => `/api/image?${new URLSearchParams({ name })}`;
export const imageSize = (name, signal) => json("GET", "/api/image/size", { query: { name }, signal });

export const thumbnail = async (name) =>
  (await send("GET", "/api/image/thumbnail", { query: { name } })).blob();

export const labels = (name, signal) => json("GET", "/api/labels", { query: { name }, signal });
export const saveLabels = (name, revision, objects) =>
  json("PUT", "/api/labels", { query: { name }, headers: { "If-Match": revision }, body: { objects } });

export const categories = () => json("GET", "/api/categories");
export const putCategories = (categories, revision) =>
  json("PUT", "/api/categories", { headers: { "If-Match": revision }, body: { categories } });

export const predict = (model, name, scoreThreshold, signal) =>
  json("POST", "/api/predict", { body: { model, name, score_threshold: scoreThreshold }, signal });

export const openSession = (model, name, signal) =>
  json("POST", "/api/sessions", { body: { model, name }, signal });
export const prompt = (session, body, signal, patient) =>
  json("POST", `/api/sessions/${encodeURIComponent(session)}/prompt`, { body, signal, patient });
export const closeSession = (session) =>
  navigator.sendBeacon(`/api/sessions/${encodeURIComponent(session)}/close`);

export const explanations = (name, signal) =>
  json("GET", "/api/explanations", { query: { name }, signal, patient: false });

export const mapAddress = (name, number) =>
  `/api/explanations/map?${new URLSearchParams({ name, number })}`;

export const training = () => json("GET", "/api/training");
export const startTraining = (body) => json("POST", "/api/training", { body });
export const stopTraining = () => json("POST", "/api/training/stop");
