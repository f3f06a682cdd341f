/**
 * share-image: upload a picture, get a link to publish. One file, no dependency, no build step.
 *
 *     shareImage(picture) ─> share ─> openShare, nativeShare, copyLink, copyImage, download
 *     <share-image-button>            all of it, with one tag
 *
 * A Content-Security-Policy needs this file's origin in script-src, the function's in connect-src.
 * docs/storefront.md shows how to use it. Functions without types in their comment are private.
 */

const MAX_SIDE_PX = 2400; // twice what the server keeps, so that it can crop and stay sharp
const SMALL_BYTES = 1_000_000; // sent as it is: scaling would cost quality and save no time
const JPEG_QUALITY = 0.92;

const TRIES = 4;
const BACKOFF_MS = 500;
const STALL_MS = 60_000;
const MAX_WAIT_MS = 60_000; // a Retry-After beyond this is reported, not waited for
const KEY_LIFE_MS = 240_000; // no try begins later: the server takes keys up to 300 s old,
const KEY_MAX_AGE_MS = 301_000; // and its Date has no fractions
const CLOCK_TOLERANCE_MS = 30_000; // it takes keys from up to 60 s ahead, too

/**
 * @typedef {Blob | HTMLCanvasElement | OffscreenCanvas} Picture
 *
 * @typedef {object} Share the server's answer; there is more in it: see openapi.json
 * @property {string} share_id
 * @property {string} url the picture
 * @property {string} page_url the page to publish
 * @property {number} expires_at epoch seconds
 * @property {Record<string, string>} links by network: what starts sharing there
 * @property {string} delete_token
 *
 * @typedef {object} ShareOptions
 * @property {string} [platform] where it will be shared; decides the shape of the picture
 * @property {string} [effectType] which effect made the picture, for analytics
 * @property {"pad" | "cover" | "inside"} [fit] how the picture meets that shape
 * @property {string} [endpoint] the function's address, unless this file comes from there
 * @property {(at: {stage: "preparing" | "uploading" | "processing" | "waiting", progress: number})
 *   => void} [onProgress] progress: of the upload, 0 to 1; waiting: to try again
 * @property {AbortSignal} [signal]
 * @property {number} [timeout] ms without progress after which a try is given up
 */

/** What went wrong: `code` is for programs, `detail` the server's; `status` 0: no answer. */
export class ShareError extends Error {
  /**
   * @param {string} code the server's; or network, timeout, bad_answer, unreadable_picture,
   *   unsupported
   * @param {string | {msg: string, loc?: string[]}[]} detail
   * @param {number} [status]
   * @param {number} [retryAfter] seconds
   */
  constructor(code, detail, status = 0, retryAfter) {
    super(typeof detail === "string" ? detail : detail.map(({ msg }) => msg).join("; "));
    this.name = "ShareError";
    this.code = code;
    this.detail = detail;
    this.status = status;
    this.retryAfter = retryAfter;
    this.isTemporary = /^(network|timeout)$/.test(code) || [429, 502, 503, 504].includes(status);
    this.isAboutKey = Array.isArray(detail) && detail.some(({ loc }) => loc?.[0] === "header");
  }
}

/**
 * Upload a picture and return its share.
 *
 * Large photos are scaled down first. Tries again after network failures, 429 and 503; one key goes
 * with all tries, so that they make one share.
 *
 * @param {Picture} picture
 * @param {ShareOptions} [options]
 * @returns {Promise<Share>} rejects with a ShareError, or with the reason of the signal
 */
export async function shareImage(picture, options = {}) {
  const { platform = "link", effectType, fit, endpoint, onProgress } = options;
  onProgress?.({ stage: "preparing", progress: 0 });
  const form = new FormData();
  form.append("file", await prepare(picture));
  form.append("platform", platform);
  if (effectType) form.append("effect_type", effectType);
  if (fit) form.append("fit", fit);
  return deliver(form, address(endpoint, "api/v2/share-image"), options);
}

/**
 * Wake the function and learn its time: worth it when a person begins to choose a picture.
 *
 * @param {string} [endpoint]
 */
export async function warmUp(endpoint) {
  try {
    setClock((await fetch(address(endpoint, "health"))).headers.get("Date"));
  } catch {
    // The upload will tell.
  }
}

/**
 * Open a network's form. Call it in the click itself: the window opens at once, so that nothing
 * blocks it, and waits there for a share that is on its way.
 *
 * @param {string} network a key of share.links
 * @param {Share | Promise<Share>} share
 * @param {string} [waiting] what the window says meanwhile
 * @returns {Promise<boolean>} false where no window could be opened: show the link instead
 */
export async function openShare(network, share, waiting = "Your picture is on its way…") {
  const isMail = network === "email"; // opens a program, and would leave an empty window
  const popup = isMail ? null : window.open("", "_blank", "popup,width=640,height=720");
  if (popup) {
    popup.opener = null; // as noopener does, which would not give us the window
    popup.document.title = popup.document.body.textContent = waiting;
  }
  try {
    const link = (await share).links[network];
    if (!link) throw new ShareError("unsupported", `No link shares on ${network}`);
    if (isMail) make("a", { href: link }).click();
    popup?.location.replace(link);
  } catch (error) {
    popup?.close();
    throw error;
  }
  return isMail || popup !== null;
}

/**
 * Offer a picture to the device's apps: the file alone, since many drop one of file and text; the
 * link where the browser shares no files.
 *
 * @param {Share | Blob} picture
 * @returns {Promise<boolean>} false where the person chose no app
 */
export async function nativeShare(picture) {
  const files = [picture instanceof Blob ? named(picture) : await pictureOf(picture)];
  const url = "page_url" in picture ? picture.page_url : "";
  const takesFiles = navigator.canShare?.({ files });
  if (!navigator.share || !(takesFiles || url)) throw new ShareError("unsupported", "No app");
  try {
    await navigator.share(takesFiles ? { files } : { url });
    return true;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return false;
    throw error;
  }
}

/**
 * Copy the link to the share's page. Call it in the click itself; the share may be on its way.
 *
 * @param {Share | Promise<Share>} share
 */
export function copyLink(share) {
  return copy("text/plain", async () => new Blob([(await share).page_url], { type: "text/plain" }));
}

/**
 * Copy the picture, as PNG: all that clipboards take. Call it in the click itself.
 *
 * @param {Share | Promise<Share>} share
 */
export function copyImage(share) {
  return copy("image/png", async () => {
    const bitmap = await createImageBitmap(await pictureOf(await share));
    return encode(draw(bitmap, 1), "image/png");
  });
}

/**
 * Save the picture as a file.
 *
 * @param {Share} share
 */
export async function download(share) {
  const file = await pictureOf(share);
  const href = URL.createObjectURL(file);
  make("a", { href, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(href), STALL_MS);
}

/**
 * Take a share back: picture, preview and page.
 *
 * @param {Share} share
 * @param {{endpoint?: string}} [options]
 */
export async function deleteShare(share, { endpoint } = {}) {
  const home = endpoint ?? new URL("..", share.page_url).href;
  const answer = await fetch(address(home, `api/v2/share-image/${share.share_id}`), {
    method: "DELETE",
    headers: { Authorization: `Bearer ${share.delete_token}` },
  });
  if (!answer.ok) throw failure(answer.status, await answer.json().catch(() => null));
}

// The request

/** endpoint: the function's address, with or without the route. */
function address(endpoint, path) {
  const home = new URL(endpoint || new URL(".", import.meta.url), document.baseURI);
  return home.href.replace(/[?#].*$/, "").replace(/(\/api\/v2\/share-image)?\/*$/, "/") + path;
}

async function deliver(form, url, options) {
  const started = Date.now();
  let key = uuid7();
  let clock = clockOffsetMs;
  let mayExist = false; // a try without a clear answer may have made the share
  for (let tried = 1; ; tried += 1) {
    options.signal?.throwIfAborted();
    try {
      return await post(form, url, key, options);
    } catch (error) {
      if (!(error instanceof ShareError) || tried === TRIES) throw error;
      mayExist ||= error.status === 0 || error.status >= 500;
      const slowMs = clockOffsetMs - clock; // as much was this device's clock behind
      // A new key, but only where no try with the old one can have counted: one share, not two.
      if (slowMs && error.isAboutKey && (!mayExist || slowMs < 0 || slowMs > KEY_MAX_AGE_MS)) {
        key = uuid7();
        clock = clockOffsetMs;
        continue;
      }
      // With jitter, so that clients do not come back all at once.
      const backoff = BACKOFF_MS * 2 ** tried * (0.5 + Math.random() / 2);
      const wait = error.retryAfter ? error.retryAfter * 1000 + backoff / 4 : backoff;
      const isLate = Date.now() - started + wait > KEY_LIFE_MS;
      if (!error.isTemporary || wait > MAX_WAIT_MS || isLate) throw error;
      options.onProgress?.({ stage: "waiting", progress: 0 });
      await sleep(wait, options.signal);
    }
  }
}

/** Send the form once. XMLHttpRequest, because fetch tells nothing of an upload's progress. */
function post(form, url, key, { onProgress, signal, timeout = STALL_MS }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const stop = () => xhr.abort();
    let timer = 0;
    const moved = (stage, progress) => {
      clearTimeout(timer);
      timer = setTimeout(stop, timeout);
      if (stage) onProgress?.({ stage, progress });
    };
    // Before open(): listeners added later would not count.
    xhr.upload.onprogress = ({ loaded, total }) => moved("uploading", loaded / total);
    xhr.upload.onload = () => moved("processing", 1);
    xhr.onload = () => {
      const { status, response } = xhr;
      setClock(xhr.getResponseHeader("Date"));
      if (status !== 200) reject(failure(status, response, xhr.getResponseHeader("Retry-After")));
      else if (response?.share_id && response.links) resolve(response);
      else reject(new ShareError("bad_answer", "The answer is no share", status));
    };
    xhr.onerror = () => reject(new ShareError("network", "No connection to the function"));
    xhr.onabort = () =>
      reject(signal?.aborted ? signal.reason : new ShareError("timeout", "No progress in time"));
    xhr.onloadend = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    };
    signal?.addEventListener("abort", stop);
    xhr.open("POST", url);
    xhr.responseType = "json";
    xhr.setRequestHeader("Idempotency-Key", key);
    moved();
    xhr.send(form);
  });
}

/** body: parsed JSON, null where it was none; after: Retry-After, seconds or a date. */
function failure(status, body, after) {
  const until = (Date.parse(after) - now()) / 1000;
  const retryAfter = [Number(after ?? NaN), until].find((seconds) => seconds >= 0);
  const { code = `http_${status}`, detail = `The server answered ${status}` } = body ?? {};
  return new ShareError(code, detail, status, retryAfter);
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

let clockOffsetMs = 0; // the server's clock minus this device's, where that matters

const now = () => Date.now() + clockOffsetMs;

/** date: of an answer. */
function setClock(date) {
  const error = Date.parse(date) - now();
  if (Math.abs(error) > CLOCK_TOLERANCE_MS) clockOffsetMs += error;
}

/** A new UUID of version 7 (RFC 9562, section 5.7): 48 bits of time, 74 random ones. */
function uuid7() {
  const time = now().toString(16).padStart(12, "0");
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  const noise = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const head = `${time.slice(0, 8)}-${time.slice(8)}-7${noise.slice(0, 3)}`;
  return `${head}-${"89ab"[bytes[9] & 3]}${noise.slice(3, 6)}-${noise.slice(6, 18)}`;
}

// The picture

/** Return the file to send: large photos scaled down, upright; what cannot be decoded, as it is. */
async function prepare(picture) {
  if (!(picture instanceof Blob)) {
    try {
      return named(await encode(draw(picture, scaleTo(MAX_SIDE_PX, picture))));
    } catch {
      throw new ShareError("unreadable_picture", "Empty canvas, or with another site's picture");
    }
  }
  const original = named(picture);
  if (picture.size <= SMALL_BYTES || !canvasIsHonest()) return original;
  try {
    const bitmap = await createImageBitmap(picture, { imageOrientation: "from-image" });
    const scale = scaleTo(MAX_SIDE_PX, bitmap);
    if (scale === 1) return original;
    const { type } = picture;
    const smaller = await encode(draw(bitmap, scale), type === "image/jpeg" && type);
    bitmap.close();
    return smaller.size < picture.size ? named(smaller, original.name) : original;
  } catch {
    return original; // the server reads HEIC, and knows best what is no picture
  }
}

const scaleTo = (side, { width, height }) => Math.min(1, side / Math.max(width, height));

function draw(source, scale) {
  const width = Math.round(source.width * scale) || 1;
  const height = Math.round(source.height * scale) || 1;
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}

/** Return a blob: of the type, or of the one that keeps what is transparent. */
function encode(canvas, type) {
  return new Promise((resolve, reject) => {
    const kind = type || (isOpaque(canvas) ? "image/jpeg" : "image/png");
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject()), kind, JPEG_QUALITY);
  });
}

function isOpaque(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return false;
  return true;
}

/** Browsers that resist fingerprinting give noise back instead of what was drawn. */
function canvasIsHonest() {
  const context = make("canvas").getContext("2d");
  context.fillStyle = "#369";
  context.fillRect(0, 0, 1, 1);
  const drawn = [0x33, 0x66, 0x99];
  const found = context.getImageData(0, 0, 1, 1).data;
  return drawn.every((value, at) => Math.abs(value - found[at]) < 8);
}

function named(blob, name = blob.name ?? "picture") {
  if (blob.name === name) return blob;
  const suffix = blob.type.replace("image/", ".").replace("jpeg", "jpg");
  return new File([blob], name.replace(/\.\w+$/, "") + suffix, { type: blob.type });
}

const pictures = new WeakMap();

/** Fetch a share's picture, once. */
function pictureOf(share) {
  if (!pictures.has(share)) {
    const fetched = fetch(share.url).then(async (answer) => {
      if (!answer.ok) throw failure(answer.status);
      return named(await answer.blob());
    });
    pictures.set(share, fetched);
    fetched.catch(() => pictures.delete(share));
  }
  return pictures.get(share);
}

/** Safari lets pages write to the clipboard in the click alone, so what is written is a promise. */
async function copy(type, makeBlob) {
  if (!navigator.clipboard?.write) throw new ShareError("unsupported", "No clipboard");
  await navigator.clipboard.write([new ClipboardItem({ [type]: makeBlob() })]);
}

// The element

// Each is replaced by an attribute of its name: label-choose="Bild wählen".
const TEXTS = {
  networks: "facebook x threads bluesky pinterest linkedin whatsapp telegram reddit email",
  "label-linkedin": "LinkedIn",
  "label-whatsapp": "WhatsApp",
  "label-choose": "Share a picture",
  "label-other": "Choose another picture",
  "label-hint": "or drop one here, or paste it",
  "label-preview": "The picture that will be shared",
  "label-progress": "Upload",
  "label-preparing": "Preparing…",
  "label-uploading": "Uploading: {percent} %",
  "label-processing": "Almost there…",
  "label-waiting": "Trying again…",
  "label-cancel": "Cancel",
  "label-canceled": "Canceled.",
  "label-ready": "Ready. Where shall it go?",
  "label-networks": "Share on",
  "label-blocked": "The window was blocked. Please try again.",
  "label-link": "Copy link",
  "label-image": "Copy picture",
  "label-download": "Download",
  "label-native": "More apps…",
  "label-delete": "Delete",
  "label-copied": "Copied.",
  "label-deleted": "The picture is deleted.",
  "label-failed": "That did not work.",
  "label-again": "Try again",
  "error-network": "There is no connection. Please try again.",
  "error-timeout": "The connection is too slow. Please try again.",
  "error-too_many_requests": "Too many pictures. Please try again later.",
  "error-unavailable": "Sharing does not work right now. Please try again later.",
  "error-other": "The picture could not be shared.",
};

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  :host { display: block; }
  [hidden] { display: none !important; }
  p:empty { position: absolute; }
  * { box-sizing: border-box; margin: 0; font: inherit; }
  div { display: grid; gap: 0.75rem; }
  [part=zone] {
    justify-items: center; text-align: center; position: relative; padding: 1.5rem;
    border: 2px dashed var(--share-line, currentColor); border-radius: 14px;
  }
  [part=zone].over { border-style: solid; border-color: var(--share-accent, #7a2e12); }
  [part=share] { margin-top: 1rem; }
  [part=networks], [part=actions] {
    display: flex; flex-wrap: wrap; gap: 0.5rem; justify-content: center;
    padding: 0; list-style: none;
  }
  input { position: absolute; opacity: 0; width: 1px; height: 1px; }
  label, button, a {
    display: inline-block; padding: 0.55rem 1.1rem; line-height: 1.5; cursor: pointer;
    border: 1px solid var(--share-line, currentColor); border-radius: 999px;
    background: none; color: inherit; text-decoration: none;
  }
  label {
    border-color: transparent; font-weight: 600;
    background: var(--share-accent, #7a2e12); color: var(--share-on-accent, #fff);
  }
  :is(button, a):hover { text-decoration: underline; }
  :is(button, a):focus-visible, input:focus-visible + label {
    outline: 3px solid var(--share-accent, #7a2e12); outline-offset: 3px;
  }
  canvas { max-width: 100%; max-height: 20rem; border-radius: 8px; }
  progress { width: min(100%, 22rem); accent-color: var(--share-accent, #7a2e12); }
  [part=error] { font-weight: 600; }
`);

/**
 * The whole way with one tag: choose, drop or paste a picture; see it; share it.
 *
 *     state (attribute)    idle ──> busy ──> ready, failed
 *
 * Other attributes: endpoint, platform, effect-type, fit, networks and the texts. Events, with a
 * detail: share-start (picture), share-ready (share), share-failed (error), share-network (name),
 * share-deleted (share).
 */
class ShareImageButton extends HTMLElement {
  /** @type {AbortController | null} of the upload */
  #run = null;
  #coming;
  #picture;

  #preview = make("canvas", { part: "preview", role: "img", hidden: true });
  #input = make("input", { type: "file", id: "file", accept: "image/*,.heic,.heif" });
  #label = make("label", { part: "button", htmlFor: "file" });
  #hint = make("span", { part: "hint", id: "hint" });
  #bar = make("progress", { part: "progress", hidden: true });
  #status = make("p", { part: "status", role: "status" });
  #error = make("p", { part: "error", role: "alert" });
  #cancel = make("button", { part: "cancel", type: "button", hidden: true });
  #again = make("button", { part: "again", type: "button", hidden: true });
  #networks = make("ul", { part: "networks", role: "list" });
  #actions = make("div", { part: "actions" });
  #zone = make("div", { part: "zone" });
  #share = make("div", { part: "share", hidden: true });

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = [sheet];
    root.append(this.#zone, this.#share);
    this.#zone.append(this.#preview, this.#input, this.#label, this.#hint, this.#bar);
    this.#zone.append(this.#status, this.#error, this.#cancel, this.#again);
    this.#share.append(this.#networks, this.#actions);
    this.#input.onclick = () => warmUp(this.#option("endpoint"));
    this.#input.onchange = () => this.#take(this.#input.files);
    this.#cancel.onclick = () => this.cancel();
    this.#again.onclick = () => this.share(this.#picture);
    for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
      this.#zone.addEventListener(type, (event) => this.#drag(event));
    }
  }

  connectedCallback() {
    this.#input.setAttribute("aria-describedby", "hint");
    this.#hint.textContent = this.#text("label-hint");
    this.#cancel.textContent = this.#text("label-cancel");
    this.#again.textContent = this.#text("label-again");
    this.#bar.ariaLabel = this.#text("label-progress");
    this.#preview.ariaLabel = this.#text("label-preview");
    this.#networks.ariaLabel = this.#text("label-networks");
    if (!this.hasAttribute("state")) this.#enter("idle");
    document.addEventListener("paste", this.#paste);
  }

  disconnectedCallback() {
    document.removeEventListener("paste", this.#paste);
    this.cancel();
  }

  /**
   * Share a picture as if it had been chosen.
   *
   * @param {Picture} picture
   * @returns {Promise<Share>} as of shareImage; may be ignored, the element tells what happens
   */
  share(picture) {
    this.#run?.abort();
    const run = (this.#run = new AbortController());
    const onlyNow = (act) => (value) => run === this.#run && act.call(this, value);
    this.#picture = picture;
    this.#coming = shareImage(picture, {
      platform: this.#option("platform"),
      effectType: this.#option("effect-type"),
      fit: this.#option("fit"),
      endpoint: this.#option("endpoint"),
      signal: run.signal,
      onProgress: onlyNow(this.#progress),
    });
    this.#coming.then(onlyNow(this.#ready), onlyNow(this.#failed));
    this.#enter("busy");
    this.#show(picture);
    this.#offer();
    this.#tell("share-start", picture);
    return this.#coming;
  }

  /** Stop the upload. */
  cancel() {
    if (this.getAttribute("state") !== "busy") return;
    this.#run?.abort();
    this.#run = null;
    this.#enter("idle");
    this.#say("label-canceled");
  }

  #enter(state) {
    const focused = this.shadowRoot?.activeElement;
    this.setAttribute("state", state);
    this.#label.textContent = this.#text(state === "idle" ? "label-choose" : "label-other");
    this.#cancel.hidden = this.#bar.hidden = state !== "busy";
    this.#again.hidden = state !== "failed";
    this.#share.hidden = state === "idle" || state === "failed";
    this.#preview.hidden ||= state === "idle";
    this.#error.textContent = "";
    if (focused?.closest("[hidden]")) this.#input.focus();
  }

  #progress({ stage, progress }) {
    if (stage === "uploading") this.#bar.value = progress;
    else this.#bar.removeAttribute("value");
    this.#say(`label-${stage}`, Math.floor(progress * 4) * 25); // a screen reader reads each out
  }

  #ready(share) {
    this.#enter("ready");
    this.#offer(share);
    this.#say("label-ready");
    if (this.#preview.hidden) pictureOf(share).then((file) => this.#show(file), () => {});
    this.#tell("share-ready", share);
  }

  #failed(error) {
    const { code, status, message, isTemporary } = error;
    const kind = status === 429 ? "too_many_requests" : isTemporary ? "unavailable" : "other";
    this.#enter("failed");
    this.#say("");
    this.#error.textContent =
      this.#text(`error-${code}`) || (status === 400 ? message : this.#text(`error-${kind}`));
    this.#again.hidden = !isTemporary;
    this.#tell("share-failed", error);
  }

  /** Show the networks: buttons that wait while the share is coming, links when it is there. */
  #offer(share) {
    const focused = this.shadowRoot?.activeElement;
    const at = [...this.#networks.children].findIndex((item) => item.contains(focused));
    const names = this.#text("networks").trim().split(/\s+/);
    const items = names.map((name) => {
      const text = this.#text(`label-${name}`) || name[0].toUpperCase() + name.slice(1);
      const href = share?.links[name];
      const made = href
        ? make("a", { part: "network", href, target: "_blank", rel: "noopener" }, text)
        : make("button", { part: "network", type: "button", disabled: Boolean(share) }, text);
      made.onclick = () => this.#open(name, href);
      return make("li", {}, made);
    });
    this.#networks.replaceChildren(...items);
    items[at]?.firstChild.focus();
    this.#actions.replaceChildren(...(share ? this.#actionsOf(share) : []));
  }

  #actionsOf(share) {
    const actions = [
      this.#action("label-link", "label-copied", () => copyLink(share)),
      this.#action("label-image", "label-copied", () => copyImage(share)),
      this.#action("label-download", "", () => download(share)),
      this.#action("label-delete", "label-deleted", () => this.#delete(share)),
    ];
    if ("share" in navigator) {
      pictureOf(share).catch(() => {}); // at hand when the click comes, which cannot wait
      actions.unshift(this.#action("label-native", "", () => nativeShare(share)));
    }
    return actions;
  }

  #action(label, done, act) {
    const button = make("button", { part: "action", type: "button" }, this.#text(label));
    button.onclick = () => {
      this.#say(""); // or the same words would not be read out again
      act().then(
        () => this.#say(done),
        () => this.#say("label-failed"),
      );
    };
    return button;
  }

  async #delete(share) {
    await deleteShare(share, { endpoint: this.#option("endpoint") });
    this.#enter("idle");
    this.#tell("share-deleted", share);
  }

  /** href: of the link, which opens by itself. */
  #open(name, href) {
    this.#tell("share-network", name);
    if (href) return;
    openShare(name, this.#coming, this.#text("label-processing")).then(
      (opened) => opened || this.#say("label-blocked"),
      () => {}, // share() tells of it
    );
  }

  #take(files) {
    if (!files?.length) return false;
    this.share(files[0]);
    this.#input.value = ""; // so that the same file can be chosen again
    return true;
  }

  #drag(event) {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    this.#zone.classList.toggle("over", /enter|over/.test(event.type));
    if (event.type === "drop") this.#take(event.dataTransfer.files);
  }

  #paste = (event) => {
    const texts = "input:not([type=file]), textarea, [contenteditable]";
    const isText = event.composedPath()[0].closest?.(texts);
    if (!event.defaultPrevented && !isText && this.#take(event.clipboardData?.files)) {
      event.preventDefault(); // one element takes it, where a page has several
    }
  };

  /** Draw the picture: a canvas needs no permission of the page's img-src. */
  async #show(picture) {
    this.#preview.hidden = true;
    const run = this.#run;
    const bitmap = await createImageBitmap(picture).catch(() => null);
    if (!bitmap || run !== this.#run) return;
    const drawn = draw(bitmap, scaleTo(800, bitmap));
    bitmap.close();
    Object.assign(this.#preview, { width: drawn.width, height: drawn.height, hidden: false });
    this.#preview.getContext("2d").drawImage(drawn, 0, 0);
  }

  #say(name, percent) {
    const text = this.#text(name).replace("{percent}", percent);
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  /** @returns {any} */
  #option(name) {
    return this.getAttribute(name) ?? undefined;
  }

  #text(name) {
    return this.getAttribute(name) ?? TEXTS[name] ?? "";
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true }));
  }
}

if (!customElements.get("share-image-button")) {
  customElements.define("share-image-button", ShareImageButton);
}

/** @returns {any} an element with these properties; part is an attribute */
function make(tag, /** @type {any} */ { part, ...values } = {}, ...children) {
  const element = document.createElement(tag);
  if (part) element.setAttribute("part", part);
  Object.assign(element, values);
  element.append(...children);
  return element;
}
