/**
 * share-image: upload a picture, get a link to publish. One file, no dependency, no build step.
 *
 *     shareImage(picture) ─> share ─> openShare, nativeShare, copyLink, copyImage, download
 *     <share-image-button>            all of it, with one tag
 *
 * A Content-Security-Policy needs this file's origin in script-src, the function's in connect-src.
 * docs/storefront.md shows how to use it, share-image.d.ts has the types. scripts/minify makes of it
 * what the function serves under this name.
 */

const MAX_SIDE_PX = 2400; // twice what the server keeps, so that it can crop and stay sharp
const SMALL_BYTES = 1_000_000; // sent as it is: scaling would cost quality and save no time
const JPEG_QUALITY = 0.92;
const ALT_MAX_CHARS = 300; // a longer one would be refused
// IPTC's terms for what a machine made or changed, the one that says most first.
const MADE_BY_MACHINE = [
  "trainedAlgorithmicMedia",
  "compositeWithTrainedAlgorithmicMedia",
  "compositeSynthetic",
  "algorithmicMedia",
  "algorithmicallyEnhanced",
];

const TRIES = 4;
const BACKOFF_MS = 500;
const STALL_MS = 60_000;
const MAX_WAIT_MS = 60_000; // a Retry-After beyond this is reported, not waited for
const KEY_LIFE_MS = 240_000; // no try begins later: the server takes keys up to 300 s old,
const KEY_MAX_AGE_MS = 301_000; // and its Date has no fractions
const CLOCK_TOLERANCE_MS = 30_000; // it takes keys from up to 60 s ahead, too

/** What went wrong: `code` is for programs, `detail` the server's; `status` 0: no answer. */
export class ShareError extends Error {
  /** code: the server's; or network, timeout, bad_answer, no_token, unreadable_picture, unsupported. */
  constructor(code, detail = code, status = 0, retryAfter) {
    super(typeof detail === "string" ? detail : detail.map(({ msg }) => msg).join("; "));
    const isTemporary = /^(network|timeout)$/.test(code) || [429, 502, 503, 504].includes(status);
    Object.assign(this, { name: "ShareError", code, detail, status, retryAfter, isTemporary });
  }
}

/**
 * Upload a picture and return its share.
 *
 * Large photos are scaled down first. Tries again after network failures, 429 and 503; one key goes
 * with all tries, so that they make one share; token: an upload token, or a function that fetches
 * one, which is asked once more if the server refuses it. The language of the page goes along, for the share's
 * own page, and the alt of an <img>.
 */
export async function shareImage(picture, options = {}) {
  const { platform, effectType, fit, endpoint, onProgress } = options;
  onProgress?.({ stage: "preparing", progress: 0 });
  const form = new FormData();
  const file = await prepare(picture);
  form.append("file", file);
  const fields = {
    platform: platform || "link",
    effect_type: effectType,
    fit,
    lang: document.documentElement.lang,
    alt: picture.alt?.slice(0, ALT_MAX_CHARS),
    digital_source_type: strongest(options.digitalSourceType, await markLostIn(file, picture)),
  };
  for (const name in fields) if (fields[name]) form.append(name, fields[name]);
  return deliver(form, endpoint, options);
}

/** Wake the function and learn its time: worth it when a person begins to choose a picture. */
export async function warmUp(endpoint) {
  const learn = ({ headers }) => setClock(headers.get("Date"));
  await fetch(address(endpoint, "health")).then(learn, () => {}); // the upload will tell
}

/**
 * Open a network's form. Call it in the click itself: the window opens at once, so that nothing
 * blocks it, and waits there for a share that is on its way. waiting: what it says meanwhile.
 * Returns false where no window could be opened: show the link instead.
 */
export async function openShare(network, share, waiting = TEXTS.window, accent) {
  const isMail = network === "email"; // opens a program, and would leave an empty window
  const popup = !isMail && window.open("", "_blank", "popup,width=640,height=720");
  if (popup) {
    popup.opener = null; // as noopener does, which would not give us the window
    popup.document.title = waiting;
    furnish(popup.document, waiting, accent);
  }
  try {
    const link = (await share).links[network];
    if (!link) throw new ShareError("unsupported");
    if (isMail) make("a", { href: link }).click();
    if (popup) popup.location.replace(link);
  } catch (error) {
    if (popup) popup.close();
    throw error;
  }
  return isMail || !!popup;
}

/** Make an empty window look like the shop's. */
function furnish({ documentElement: root, body }, waiting, accent) {
  root.style.cssText = `color-scheme:light dark;accent-color:${accent};font:20px/2 system-ui`;
  body.style.cssText = "margin:40vh auto;text-align:center";
  body.append(waiting, make("br"), make("progress"));
}

/**
 * Offer a picture to the device's apps: the file alone, since many drop one of file and text; the
 * link where the browser shares no files. Returns false where the person chose no app.
 */
export async function nativeShare(picture) {
  const files = [picture instanceof Blob ? named(picture) : await pictureOf(picture)];
  const url = picture.page_url; // a Blob has none
  const takesFiles = navigator.canShare?.({ files });
  if (!navigator.share || !(takesFiles || url)) throw new ShareError("unsupported");
  try {
    await navigator.share(takesFiles ? { files } : { url });
    return true;
  } catch (error) {
    if (error.name === "AbortError") return false;
    throw error;
  }
}

/** Copy the link to the share's page. Call it in the click itself; the share may be on its way. */
export function copyLink(share) {
  return copy("text/plain", async () => (await share).page_url);
}

/** Copy the picture, as PNG: all that clipboards take. Call it in the click itself. */
export function copyImage(share) {
  return copy("image/png", async () => {
    const bitmap = await createImageBitmap(await pictureOf(await share));
    return encode(draw(bitmap, Infinity), "image/png");
  });
}

/** Save the picture as a file. */
export async function download(share) {
  const file = await pictureOf(share);
  // Never revoked: pictureOf keeps the file for as long as the page is there.
  make("a", { href: URL.createObjectURL(file), download: file.name }).click();
}

/** Take a share back: picture, preview and page. */
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
  const home = new URL(endpoint || new URL(".", import.meta.url), document.baseURI).href;
  return home.replace(/(\/api\/v2\/share-image)?\/*([?#].*)?$/, "/") + path;
}

async function deliver(form, endpoint, options) {
  const url = address(endpoint, "api/v2/share-image");
  const started = Date.now();
  let token = await tokenOf(options);
  let isRenewed = typeof options.token !== "function";
  let key = keyIn(token);
  let clock = clockOffsetMs;
  let mayExist = false; // a try without a clear answer may have made the share
  for (let tried = 1; ; tried += 1) {
    options.signal?.throwIfAborted();
    try {
      return await post(form, url, key, token, options);
    } catch (error) {
      if (!(error instanceof ShareError) || tried === TRIES) throw error;
      if (error.code === "network" && tried === 1 && (await refusesThisOrigin(endpoint))) {
        const detail = `${location.origin} is not in ALLOWED_ORIGINS of ${url}`;
        throw new ShareError("origin_not_allowed", detail);
      }
      if (error.code === "wrong_upload_token" && !isRenewed) {
        isRenewed = true; // it has expired, or the shop changed its key
        token = await tokenOf(options);
        key = keyIn(token, key);
        continue;
      }
      mayExist ||= error.status === 0 || error.status >= 500;
      const isAboutKey = error.detail.some?.(({ loc }) => loc?.[0] === "header");
      const slowMs = clockOffsetMs - clock; // as much was this device's clock behind
      // A new key, but only where no try with the old one can have counted: one share, not two.
      if (slowMs && isAboutKey && (!mayExist || slowMs < 0 || slowMs > KEY_MAX_AGE_MS)) {
        key = keyIn(token);
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

async function tokenOf({ token }) {
  try {
    return await (typeof token === "function" ? token() : token);
  } catch ({ message }) {
    throw new ShareError("no_token", message);
  }
}

/** Return the key of a token for one use, else the other key. */
function keyIn(token, other = uuid7()) {
  try {
    return JSON.parse(atob(token.split(".")[0].replace(/-/g, "+").replace(/_/g, "/"))).jti || other;
  } catch {
    return other; // there is none, or the server will tell
  }
}

/** Browsers tell a page nothing of a refusal: but files are for every origin, the rest is not. */
async function refusesThisOrigin(endpoint) {
  const [isOpen, isThere] = ["health", "texts/en.json"].map((path) =>
    fetch(address(endpoint, path), { cache: "no-store" }).catch(() => null),
  );
  return !(await isOpen) && isThere;
}

/** Send the form once. XMLHttpRequest, because fetch tells nothing of an upload's progress. */
function post(form, url, key, token, { onProgress, signal, timeout = STALL_MS }) {
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
      else reject(new ShareError("bad_answer", undefined, status));
    };
    xhr.onerror = () => reject(new ShareError("network"));
    xhr.onabort = () =>
      reject(signal?.aborted ? signal.reason : new ShareError("timeout"));
    xhr.onloadend = () => clearTimeout(timer);
    signal?.addEventListener("abort", stop);
    xhr.open("POST", url);
    xhr.responseType = "json";
    xhr.setRequestHeader("Idempotency-Key", key); // a preflight goes ahead for it, so that
    if (token) xhr.setRequestHeader("Authorization", `Bearer ${token}`); // this costs none
    moved();
    xhr.send(form);
  });
}

/** body: parsed JSON; after: Retry-After in seconds; null where there is none. */
function failure(status, body, after) {
  const { code = `http_${status}`, detail } = body ?? {};
  return new ShareError(code, detail, status, Number(after) || undefined);
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
  const random = (bits) => crypto.getRandomValues(new Uint8Array(1))[0] % 2 ** bits;
  const noise = "7xxx-yxxx-xxxxxxxxxxxx".replace(/[xy]/g, (kind) =>
    (kind === "y" ? 8 + random(2) : random(4)).toString(16),
  );
  return `${time.slice(0, 8)}-${time.slice(8)}-${noise}`;
}

// The picture

/** Return the file, or what holds the pixels, of what a page may hand over. */
function pictureIn(given) {
  if (given instanceof FileList) return given[0];
  const [, type, data] = /^data:([^;,]+)[^,]*;base64,(.+)/s.exec(given) ?? [];
  return data ? new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], { type }) : given;
}

/** Decode upright. Rejects for what holds no picture: null, an empty canvas, a video at its start. */
async function bitmapOf(picture) {
  await picture?.decode?.(); // an <img> that is still loading
  return createImageBitmap(pictureIn(picture));
}

/** Return the file to send: large photos scaled down; what cannot be decoded, as it is. */
async function prepare(given) {
  try {
    const picture = pictureIn(given);
    if (picture instanceof Blob) return await smaller(picture);
    return named(await encode(draw(await bitmapOf(picture), MAX_SIDE_PX)));
  } catch ({ message }) {
    const kind = {}.toString.call(given).slice(8, -1);
    const name = kind === "String" ? JSON.stringify(given.slice(0, 80)) : kind;
    throw new ShareError("unreadable_picture", `${name} is no picture that can be read: ${message}`);
  }
}

/** Return the term that says most about a machine, else what the page says. */
function strongest(said, found) {
  return MADE_BY_MACHINE.find((term) => term === said || term === found) ?? said;
}

/** Return the term that says that a machine made a picture, where scaling it down dropped that. */
async function markLostIn(file, given) {
  const original = pictureIn(given);
  if (!(original instanceof Blob) || original.size === file.size) return "";
  const text = new TextDecoder("latin1").decode(await original.arrayBuffer());
  const isIn = (term) => text.includes(`://cv.iptc.org/newscodes/digitalsourcetype/${term}`); // CBOR sets no end
  return MADE_BY_MACHINE.find(isIn);
}

async function smaller(picture) {
  const original = named(picture);
  if (picture.size <= SMALL_BYTES || !canvasIsHonest()) return original;
  try {
    const bitmap = await bitmapOf(picture);
    if (Math.max(bitmap.width, bitmap.height) <= MAX_SIDE_PX) return original;
    const scaled = await encode(draw(bitmap, MAX_SIDE_PX));
    return scaled.size < picture.size ? named(scaled, original.name) : original;
  } catch {
    return original; // the server reads HEIC, and knows best what is no picture
  }
}

/** Draw a bitmap, which ends here, with its longest side at most so long. */
function draw(bitmap, maxSide) {
  const scale = Math.min(1, maxSide / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((px) => Math.round(px * scale) || 1);
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return canvas;
}

/** Return a blob: of the type, or of the one that keeps what is transparent. */
function encode(canvas, type) {
  return new Promise((resolve, reject) => {
    const kind = type || (isOpaque(canvas) ? "image/jpeg" : "image/png");
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(Error())), kind, JPEG_QUALITY);
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
  return String(context.getImageData(0, 0, 1, 1).data) === "51,102,153,255";
}

const shopName = () =>
  document.querySelector('meta[property="og:site_name"]')?.content || location.hostname;

/** Files are named after the shop, unless the person chose one. */
function named(blob, name = blob.name ?? (shopName().replace(/[^\p{L}\p{N}]+/gu, "-") || "picture")) {
  if (blob.name === name) return blob;
  const suffix = blob.type.replace("image/", ".").replace("jpeg", "jpg");
  return new File([blob], name.replace(/\.\w+$/, "") + suffix, { type: blob.type });
}

const pictures = {};

/** Fetch a share's picture, once. */
function pictureOf({ url }) {
  pictures[url] ??= fetch(url)
    .then(async (answer) => {
      if (!answer.ok) throw failure(answer.status);
      return named(await answer.blob());
    })
    .catch((error) => {
      delete pictures[url];
      throw error;
    });
  return pictures[url];
}

/** Safari lets pages write to the clipboard in the click alone, so what is written is a promise. */
async function copy(type, makeBlob) {
  if (!navigator.clipboard?.write) throw new ShareError("unsupported");
  await navigator.clipboard.write([new ClipboardItem({ [type]: makeBlob() })]);
}

// The element

// English is built in; texts/ holds it once more, and the other languages. An attribute replaces each
// one: label-choose="Bild wählen", error-network="…".
const TEXTS = {
  choose: "Share a picture",
  own: "Share this picture",
  other: "Choose another picture",
  hint: "or drop one here, or paste it",
  preview: "The picture that will be shared",
  progress: "Upload",
  preparing: "Preparing…",
  uploading: "Uploading: {percent} %",
  processing: "Almost there…",
  waiting: "Trying again…",
  cancel: "Cancel",
  canceled: "Canceled.",
  ready: "Ready. Where shall it go?",
  networks: "Share on",
  email: "Email",
  window: "Your picture is on its way…",
  blocked: "The window was blocked. Please try again.",
  native: "Share…",
  link: "Copy link",
  image: "Copy picture",
  download: "Download",
  delete: "Delete",
  working: "One moment…",
  copied: "Copied.",
  select: "Copy this link:",
  deleted: "The picture is deleted.",
  failed: "That did not work.",
  again: "Try again",
  "error-network": "There is no connection. Please try again.",
  "error-timeout": "The connection is too slow. Please try again.",
  "error-upload_too_slow": "The connection is too slow. Please try again.",
  "error-too_many_requests": "Too many pictures. Please try again later.",
  "error-unavailable": "Sharing does not work right now. Please try again later.",
  "error-file_too_large": "The picture is too large: {limit} at most.",
  "error-dimensions_too_large": "The picture is too large: {limit} at most.",
  "error-unsupported_format": "Only {limit} can be shared.",
  "error-corrupt_image": "This picture cannot be used. Please choose another one.",
  "error-image_too_complex": "This picture cannot be used. Please choose another one.",
  "error-picture_refused": "This picture cannot be shared. Please choose another one.",
  "error-origin_not_allowed": "Sharing is not set up for this site yet.",
  "error-other": "The picture could not be shared.",
};

// Their marks, on 48 x 48: drawn after simple-icons 13.21.0 (CC0), in as few strokes as 20 px show.
const NETWORKS = {
  facebook: "M24 0a24 24 0 1 0 .1 0M20 48V31h-6v-7h6v-6q0-9 14-8v7q-7-1-7 3v4h7l-1 7h-6v17",
  x: "M38 2h7L29 21l19 25H33L22 31 8 46H1l17-20L0 2h15l11 14Zm-3 39h4L13 6H9Z",
  threads: "M24 0C2 0 2 24 2 24s0 24 22 24c20 0 26-20 10-26C33 11 18 10 14 18l4 2c3-5 11-4 12 2-10-1-16 1-17 8 1 9 18 10 21-3 8 5 2 17-10 17C6 44 6 30 6 24S6 4 24 4c13 0 15 7 17 12l4-1C42 5 36 0 24 0m6 26q-2 8-9 7c-7-3-1-9 9-7",
  bluesky: "M24 21C20 14 6 1 2 4c-4 2-2 18 0 20 3 3 9 4 12 3-9 1-14 6-5 14 9 9 13-2 15-8 2 6 6 17 15 8 9-8 4-13-5-14 3 1 9 0 12-3 2-2 4-18 0-20-4-3-18 10-22 17",
  pinterest: "M24 0a24 24 0 0 0-9 46q-1-4 1-9l2-10q-2-8 4-9c5 0 3 6 2 10-2 7 11 6 10-7-2-12-20-11-20 2q0 3 2 6l-1 4C7 31 6 9 25 9c20 2 17 29 3 29q-5 0-6-3-1 6-4 12A24 24 0 1 0 24 0",
  linkedin: "M3 0h42q3 0 3 3v42q0 3-3 3H3q-3 0-3-3V3q0-3 3-3m4 18v23h7V18Zm3-11a4 4 0 1 0 1 0m8 11v23h7V29c0-7 9-7 9 0v12h7V27c0-11-13-11-16-6v-3Z",
  whatsapp: "m0 48 3-12a24 24 0 1 1 9 9Zm5-5 8-2a20 20 0 1 0-6-6Zm12-30q-4 0-5 5c1 8 12 18 20 18q6-1 5-6l-7-4-3 4q-6-2-9-9l2-3-2-5",
  telegram: "M24 0a24 24 0 1 0 .1 0M11 24l25-10-4 22-8-6-4 4-1-7 13-10-16 9",
  reddit: "M24 0A24 24 0 0 0 7 41l-5 7h22a24 24 0 0 0 0-48m2 16 2-5 3 1a4 4 0 1 0 1-3l-6-1-3 8C5 16 2 40 24 40s19-24 2-24m-9 8a4 4 0 1 0 1 0m13 0a4 4 0 1 0 1 0M16 33q8 7 16 0-8 1-16 0",
  email: "M2 8h44v32H2Zm6 4 16 12 16-12ZM6 16v20h36V16L24 29",
};
const NAMES = { x: "X", linkedin: "LinkedIn", whatsapp: "WhatsApp" };

const SETTINGS = ["endpoint", "platform", "effectType", "fit", "networks", "for", "tokenUrl"];

const tables = {};

/** Return the texts of a language, fetched once; English where that fails. */
async function textsIn(lang, endpoint) {
  if (!lang || /^en\b/i.test(lang)) return TEXTS;
  const url = address(endpoint, `texts/${encodeURIComponent(lang)}.json`);
  tables[url] ??= fetch(url, { signal: AbortSignal.timeout(3000) })
    .then((answer) => answer.json())
    .catch(() => {});
  return { ...TEXTS, ...(await tables[url]) };
}

const sheet = new CSSStyleSheet();
// In px, since some themes make 1rem 10px. --_… are its own names, not those of the page.
sheet.replaceSync(`
  :host {
    display: grid; min-height: 152px;
    --_a: var(--share-accent, light-dark(#7a2e12, #f2b28c));
    --_l: var(--share-line, currentColor);
  }
  :host([for]) { min-height: 48px; }
  :host([hidden]), [hidden] { display: none !important; }
  * { box-sizing: border-box; margin: 0; font: inherit; letter-spacing: inherit; }
  div { display: grid; gap: 12px; }
  #zone {
    align-content: center; justify-items: center; text-align: center; padding: 24px;
    border: 1px solid var(--_l); border-radius: 14px;
  }
  :host([state=idle]) #zone { border-style: dashed; }
  .over { border-color: var(--_a) !important; }
  :host([for][state=idle]) #zone { border: 0; padding: 0; }
  p:empty { position: absolute; }
  label:empty { opacity: 0; }
  ul, #actions {
    display: flex; flex-wrap: wrap; gap: 8px; justify-content: center; padding: 0; list-style: none;
  }
  #file { position: absolute; opacity: 0; width: 1px; }
  a, button, label {
    display: flex; align-items: center; justify-content: center; gap: 8px; min-height: 44px;
    padding: 8px 18px;
    cursor: pointer; border: 1px solid var(--_l); border-radius: 99px;
    background: none; color: inherit; text-decoration: none;
  }
  [part~=primary] {
    font-weight: 600;
    background: var(--_a); color: var(--share-on-accent, light-dark(#fff, #2a140a));
  }
  @media (forced-colors: active) { [part~=primary] { color: ButtonText; } }
  a:hover, button:hover { text-decoration: underline; }
  :focus-visible, #file:focus-visible + label { outline: 3px solid var(--_a); }
  svg { width: 20px; fill: currentColor; fill-rule: evenodd; }
  canvas { max-width: 100%; max-height: 320px; }
  progress { width: 100%; accent-color: var(--_a); }
`);

/**
 * The whole way with one tag: choose, drop or paste a picture; see it; share it.
 *
 *     state (attribute)    idle ──> busy ──> ready, failed
 *
 * #render shows what attributes, texts and state say, and may run at any time. Events, with a
 * detail: share-start (picture), share-ready (share), share-failed (error), share-network (name),
 * share-deleted (share).
 */
class ShareImageButton extends HTMLElement {
  #run; // the AbortController of the upload
  #coming; // the promise of the share
  #made; // the share
  #picture;
  #problem;
  #isGiven = false; // by the page: then the customer has nothing to choose
  #lang;
  #texts = {};
  #said = [""];
  #warned = "";
  #ui;

  constructor() {
    super();
    const zone = make("div");
    // In the order in which the keyboard comes by.
    const ui = {
      preview: make("div", { role: "img" }),
      status: make("p", { role: "status" }),
      error: make("p", { role: "alert" }),
      progress: make("progress"),
      cancel: make("button", { onclick: () => this.cancel() }),
      again: make("button", { onclick: () => this.#begin(this.#picture) }),
      share: make("div"),
      own: make("button", { onclick: () => this.#begin(this.#own()) }),
      file: make("input", {
        type: "file",
        accept: "image/*,.heic,.heif",
        onclick: () => warmUp(this.endpoint),
        onchange: () => this.#take(ui.file.files),
      }),
      choose: make("label", { htmlFor: "file" }),
      hint: make("span"),
    };
    zone.append(...Object.values(ui));
    Object.assign(ui, {
      zone,
      networks: make("ul", { role: "list" }),
      actions: make("div"),
      link: make("textarea", { readOnly: true }),
    });
    for (const id in ui) Object.assign(ui[id], { id, part: id });
    zone.ondragenter = zone.ondragover = zone.ondragleave = zone.ondrop = this.#drag;
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = [sheet];
    root.append(zone);
    this.#ui = ui;
  }

  connectedCallback() {
    for (const name of SETTINGS) {
      if (!Object.hasOwn(this, name)) continue; // set before this file was there
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    if (!this.getAttribute("state")) this.#enter("idle");
    this.#localize();
    this.#watch.observe(this, { attributes: true });
    this.#watch.observe(document.documentElement, { attributeFilter: ["lang"] });
    document.addEventListener("paste", this.#paste);
  }

  disconnectedCallback() {
    this.#watch.disconnect();
    document.removeEventListener("paste", this.#paste);
    setTimeout(() => this.isConnected || this.cancel()); // it may only be moved
  }

  /** Share a picture of the page's own. The promise may be ignored: the element tells what happens. */
  share(picture, { chooser = false } = {}) {
    this.#isGiven = !chooser;
    return this.#begin(picture);
  }

  /** Stop the upload. */
  cancel() {
    if (this.getAttribute("state") !== "busy") return;
    this.#run.abort();
    this.#run = null;
    this.#enter("idle", "canceled");
  }

  #begin(picture) {
    this.#run?.abort();
    const run = (this.#run = new AbortController());
    const onlyNow = (act) => (value) => run === this.#run && act.call(this, value);
    this.#picture = picture;
    this.#made = null;
    const { platform, effectType, fit, endpoint, tokenUrl } = this;
    const fetched = async () => (await (await fetch(tokenUrl, { cache: "no-store" })).json()).token;
    this.#coming = shareImage(picture, {
      platform,
      effectType,
      fit,
      endpoint,
      token: this.token || (tokenUrl && fetched),
      signal: run.signal,
      onProgress: onlyNow(this.#progress),
    });
    this.#coming.then(onlyNow(this.#ready), onlyNow(this.#failed));
    this.#enter("busy", "preparing");
    this.#show(picture);
    this.#tell("share-start", picture);
    return this.#coming;
  }

  #progress({ stage, progress }) {
    if (stage === "uploading") this.#ui.progress.value = progress;
    else this.#ui.progress.removeAttribute("value");
    this.#say(stage, Math.floor(progress * 4) * 25); // a screen reader reads each out
  }

  #ready(share) {
    this.#made = share;
    this.#enter("ready", "ready");
    // At hand when the click comes that hands it to an app, which cannot wait.
    if (navigator.share || this.#ui.preview.hidden) {
      const shown = (file) => this.#ui.preview.hidden && this.#show(file);
      pictureOf(share).then(shown, () => {});
    }
    this.#tell("share-ready", share);
  }

  #failed(error) {
    this.#enter("failed", "", error);
    if (!error.isTemporary) console.error(`share-image: ${error.message}`); // for the shop
    this.#tell("share-failed", error);
  }

  #enter(state, said = "", problem = null) {
    this.#said = [said];
    this.#problem = problem;
    this.#ui.link.hidden = true;
    this.#ui.preview.hidden ||= state === "idle";
    this.setAttribute("state", state);
    this.#render();
  }

  async #localize() {
    const { lang } = this.closest("[lang]") ?? document.documentElement;
    this.#lang = lang;
    const texts = await textsIn(lang, this.endpoint);
    if (lang === this.#lang) this.#texts = texts; // else the page has changed it since
    this.#render();
  }

  #render() {
    const ui = this.#ui;
    const root = this.shadowRoot;
    const focused = root.activeElement?.id;
    const state = this.getAttribute("state");
    const [isIdle, isBusy, isReady] = ["idle", "busy", "ready"].map((name) => name === state);
    const isOwn = this.for || this.#isGiven;
    const isTouch = matchMedia("(pointer: coarse)").matches;
    ui.cancel.hidden = ui.progress.hidden = !isBusy;
    ui.again.hidden = !this.#problem?.isTemporary;
    ui.share.hidden = !isBusy && !isReady;
    ui.own.hidden = !isOwn || isBusy || (isReady && this.#isGiven);
    ui.file.hidden = ui.choose.hidden = isOwn || isBusy;
    ui.hint.hidden = isOwn || !isIdle || isTouch;
    for (const name of ["progress", "preview", "networks", "link"]) {
      ui[name].ariaLabel = this.#text(name);
    }
    for (const name of ["cancel", "again", "hint", "choose", "own"]) {
      ui[name].textContent = this.#text(name);
    }
    const isFirst = !isReady && ui.again.hidden;
    ui.choose.part = ui.own.part = isFirst ? "button primary" : "button";
    if (!isIdle) ui.choose.textContent = this.#text("other");
    this.#say(...this.#said);
    write(ui.error, this.#problem ? this.#explain(this.#problem) : "");
    this.#offer(isTouch);
    // What had the focus may be hidden now, or made anew.
    const controls = [...root.querySelectorAll("a, button, input")];
    const shown = controls.filter((control) => control.getClientRects()[0]);
    if (!focused || shown.includes(root.activeElement)) return;
    (shown.find(({ id }) => id === focused) ?? shown[0])?.focus();
  }

  #explain({ code, message, status, isTemporary }) {
    const kind = status === 429 ? "too_many_requests" : isTemporary ? "unavailable" : "other";
    const text = this.#text(`error-${code}`) || this.#text(`error-${kind}`);
    const [, limit] = /(?:max |Only )(.+?)(?:\)| supported)/.exec(message) ?? [];
    return text.replace("{limit}", limit);
  }

  /** Show the ways out, the likeliest first: the apps of a phone, else the networks, the link. */
  #offer(isTouch) {
    const { share, networks, actions, link } = this.#ui;
    const made = this.#made;
    const hasApps = made && navigator.share;
    const isFirst = hasApps && isTouch;
    const use = () => this.#use(nativeShare(made).then(() => ""));
    const apps = hasApps ? [this.#button("native", isFirst, use)] : [];
    const all = [
      this.#action("link", () => this.#copyLink(made), !isFirst),
      this.#action("image", () => copyImage(made).then(() => "copied")),
      this.#action("download", () => download(made)),
      ...(isFirst ? [] : apps),
      this.#action("delete", () => this.#delete(made)),
    ];
    actions.replaceChildren(...(made ? all : []));
    networks.replaceChildren(...this.#names().map((name) => this.#network(name, made)));
    share.replaceChildren(...(isFirst ? apps : []), networks, actions, link);
  }

  #names() {
    const names = this.networks.match(/\S+/g) ?? Object.keys(NETWORKS);
    const unknown = names.filter((name) => !NETWORKS[name]).join(", ");
    if (unknown !== this.#warned) console.warn(`share-image: no network: ${unknown}`);
    this.#warned = unknown;
    return names.filter((name) => NETWORKS[name]);
  }

  /** A button that waits while the share is coming, a link when it is there. */
  #network(name, made) {
    const href = made?.links[name];
    const values = href ? { href, target: "_blank" } : { disabled: made };
    const title = NAMES[name] ?? name[0].toUpperCase() + name.slice(1);
    const link = make(
      href ? "a" : "button",
      { part: "network", id: name, ...values, onclick: () => this.#open(name, href) },
      mark(NETWORKS[name]),
      this.#text(name) || title,
    );
    return make("li", {}, link);
  }

  #button(name, isFirst, onclick) {
    const part = isFirst ? "action primary" : "action";
    return make("button", { part, id: name, onclick }, this.#text(name));
  }

  /** A button that works alone: what was clicked first is not overtaken by what follows. */
  #action(name, act, isFirst) {
    return this.#button(name, isFirst, () => {
      if (this.#said[0] === "working") return;
      this.#say("working");
      this.#use(act());
    });
  }

  /** acting: resolves to the name of what there is to say. */
  async #use(acting) {
    const made = this.#made;
    const said = await acting.catch(() => "failed");
    if (made === this.#made) this.#say(said ?? "");
  }

  async #copyLink(made) {
    try {
      await copyLink(made);
      return "copied";
    } catch {
      Object.assign(this.#ui.link, { hidden: false, value: made.page_url }).select();
      return "select";
    }
  }

  async #delete(made) {
    await deleteShare(made, { endpoint: this.endpoint });
    this.#made = null;
    this.#enter("idle", "deleted");
    this.#tell("share-deleted", made);
  }

  /** href: of the link, which opens by itself. */
  #open(name, href) {
    this.#tell("share-network", name);
    if (href) return;
    const accent = getComputedStyle(this).getPropertyValue("--share-accent");
    openShare(name, this.#coming, this.#text("window"), accent).then(
      (opened) => opened || this.#say("blocked"),
      () => {}, // #failed tells of it
    );
  }

  #own() {
    return this.for ? (document.querySelector(this.for) ?? this.for) : this.#picture;
  }

  #take(files) {
    if (!files?.length || this.for || this.#isGiven) return false;
    this.#begin(files[0]);
    this.#ui.file.value = ""; // so that the same file can be chosen again
    return true;
  }

  #drag = (event) => {
    const { type, dataTransfer } = event;
    if (!dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    this.#ui.zone.classList.toggle("over", /enter|over/.test(type));
    if (type === "drop") this.#take(dataTransfer.files);
  };

  #paste = (event) => {
    const texts = "input:not([type=file]), textarea, [contenteditable]";
    const isText = event.composedPath()[0].closest?.(texts);
    if (!event.defaultPrevented && !isText && this.#take(event.clipboardData?.files)) {
      event.preventDefault(); // one element takes it, where a page has several
    }
  };

  #watch = new MutationObserver(() => this.#localize());

  /** Draw the picture: a canvas needs no permission of the page's img-src. */
  async #show(picture) {
    const { preview } = this.#ui;
    preview.hidden = true;
    const run = this.#run;
    const bitmap = await bitmapOf(picture).catch(() => null);
    if (!bitmap || run !== this.#run) return;
    preview.replaceChildren(draw(bitmap, 800));
    preview.hidden = false;
  }

  #say(name, percent) {
    this.#said = [name, percent];
    write(this.#ui.status, this.#text(name).replace("{percent}", percent));
  }

  #text(name) {
    const attribute = name.startsWith("error-") ? name : `label-${name}`;
    return this.getAttribute(attribute) ?? this.#texts[name] ?? "";
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

for (const name of SETTINGS) {
  const attribute = name.replace(/[TU]/, (letter) => `-${letter.toLowerCase()}`);
  Object.defineProperty(ShareImageButton.prototype, name, {
    get() {
      return this.getAttribute(attribute) ?? "";
    },
    set(value) {
      if (value == null) this.removeAttribute(attribute);
      else this.setAttribute(attribute, value);
    },
  });
}

if (!customElements.get("share-image-button")) {
  customElements.define("share-image-button", ShareImageButton);
}

/** Return an element with these properties. */
function make(tag, values, ...children) {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
}

/** Live regions are read out again where their text is set again. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function draft(tag, name, value) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  element.setAttribute(name, value);
  return element;
}

function mark(path) {
  const svg = draft("svg", "viewBox", "0 0 48 48");
  svg.ariaHidden = "true";
  svg.append(draft("path", "d", path));
  return svg;
}
