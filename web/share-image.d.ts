/** The types of share-image.js; docs/storefront.md shows how to use them. */

/** What can be shared. A string is a data URL; of a FileList, the first file. */
export type Picture =
  | Blob
  | FileList
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLImageElement
  | HTMLVideoElement
  | ImageBitmap
  | ImageData
  | `data:${string}`;

export type Fit = "pad" | "cover" | "inside";

/** The networks that have a link to share with. */
export type Network =
  | "facebook"
  | "x"
  | "threads"
  | "bluesky"
  | "pinterest"
  | "linkedin"
  | "whatsapp"
  | "telegram"
  | "reddit"
  | "email";

/** The answer of the function: openapi.json describes each field. */
export interface Share {
  /** The picture. */
  url: string;
  /** Epoch seconds. */
  expires_at: number;
  share_id: string;
  /** Seconds. */
  processing_time: number;
  /** What to publish. */
  page_url: string;
  /** The preview of the page, 1200x630. */
  card_url: string;
  platform: string;
  width: number;
  height: number;
  bytes: number;
  content_type: "image/jpeg";
  /** What opens sharing on each network. */
  links: Record<Network, string>;
  /** Where a machine made or changed the picture: a term of IPTC. */
  digital_source_type?: string;
  /** Whoever holds it can take the share back. */
  delete_token: string;
}

export interface Progress {
  stage: "preparing" | "uploading" | "processing" | "waiting";
  /** Of the upload, 0 to 1. */
  progress: number;
}

export interface ShareOptions {
  /** Where it will be shared; decides the shape of the picture. `link` if absent. */
  platform?: string;
  /** Which effect made the picture, for analytics. */
  effectType?: string;
  /** How the picture meets the shape of its platform. */
  fit?: Fit | "";
  /** The function's address, where this file comes from elsewhere. */
  endpoint?: string;
  /** An upload token, or what fetches one: called again, once, if the function refuses it. */
  token?: string | (() => string | Promise<string>);
  /** Who made the picture, as a term of IPTC; found in large files by itself. */
  digitalSourceType?: string;
  onProgress?: (at: Progress) => void;
  signal?: AbortSignal;
  /** Milliseconds without progress after which a try is given up: 60000 if absent. */
  timeout?: number;
}

/** One field that the function refused. */
export interface FieldProblem {
  type: string;
  loc: string[];
  msg: string;
  input: null;
}

export class ShareError extends Error {
  constructor(code: string, detail?: string | FieldProblem[], status?: number, retryAfter?: number);
  readonly name: "ShareError";
  /** Of the function; or network, timeout, bad_answer, no_token, unreadable_picture, unsupported. */
  readonly code: string;
  readonly detail: string | FieldProblem[];
  /** Of the answer, 0 without one. */
  readonly status: number;
  /** Seconds. */
  readonly retryAfter?: number;
  readonly isTemporary: boolean;
}

/**
 * Upload a picture, with the page's language and the alt of an <img>. Rejects with a ShareError, or with
 * the reason of the signal.
 */
export function shareImage(picture: Picture, options?: ShareOptions): Promise<Share>;

/** Wake a function that scaled to zero. */
export function warmUp(endpoint?: string): Promise<void>;

/**
 * Open a network's form, in the click itself. Resolves to false where no window could be opened.
 * waiting: what the window says until the share is there; accent: the color of its progress bar.
 */
export function openShare(
  network: Network,
  share: Share | Promise<Share>,
  waiting?: string,
  accent?: string,
): Promise<boolean>;

/** Offer a picture to the device's apps. Resolves to false where the person chose none. */
export function nativeShare(picture: Share | Blob): Promise<boolean>;

/** Copy the link to the share's page, in the click itself. */
export function copyLink(share: Share | Promise<Share>): Promise<void>;

/** Copy the picture, in the click itself. */
export function copyImage(share: Share | Promise<Share>): Promise<void>;

/** Save the picture as a file. */
export function download(share: Share): Promise<void>;

/** Take a share back: picture, preview and page. */
export function deleteShare(share: Share, options?: { endpoint?: string }): Promise<void>;

export interface ShareImageButtonEventMap extends HTMLElementEventMap {
  "share-start": CustomEvent<Picture>;
  "share-ready": CustomEvent<Share>;
  "share-failed": CustomEvent<ShareError>;
  "share-network": CustomEvent<Network>;
  "share-deleted": CustomEvent<Share>;
}

/** <share-image-button>: its properties are its attributes, empty where there is none. */
export interface ShareImageButton extends HTMLElement {
  endpoint: string;
  platform: string;
  effectType: string;
  fit: Fit | "";
  /** Names with spaces between them. */
  networks: string;
  /** A selector of the picture that the page has. */
  for: string;
  /** Where upload tokens come from: it answers { "token": "..." }. */
  tokenUrl: string;
  /** As in ShareOptions; goes before tokenUrl. No attribute. */
  token?: ShareOptions["token"];
  /**
   * Share a picture of the page's own. The promise may be ignored: the element tells what happens.
   * chooser: whether the customer may choose another one then.
   */
  share(picture: Picture, options?: { chooser?: boolean }): Promise<Share>;
  /** Stop the upload. */
  cancel(): void;
  addEventListener<K extends keyof ShareImageButtonEventMap>(
    type: K,
    listener: (this: ShareImageButton, event: ShareImageButtonEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ShareImageButtonEventMap>(
    type: K,
    listener: (this: ShareImageButton, event: ShareImageButtonEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "share-image-button": ShareImageButton;
  }
}
