// The demo page: the element does the sharing, this shows what came of it.

import { deleteShare, shareImage } from "./share-image.js";

const LINKED = {
  facebook: "Facebook",
  x: "X",
  linkedin: "LinkedIn",
  whatsapp: "WhatsApp",
  telegram: "Telegram",
  threads: "Threads",
  bluesky: "Bluesky",
  reddit: "Reddit",
  email: "Email",
};
const PICTURED = {
  pinterest: { name: "Pinterest", size: [1000, 1500] },
  instagram: { name: "Instagram", size: [1080, 1350] },
  instagram_story: { name: "Story, TikTok, Snapchat", size: [1080, 1920] },
};

const $ = (id) => document.getElementById(id);
const button = document.querySelector("share-image-button");
const countdown = document.querySelector(".countdown");

let picture = null; // what was shared last
let run = new AbortController(); // ends with the share that it belongs to
let extras = []; // the shares in other shapes

// ------------------------------------------------------------------------------ from the element

button.addEventListener("share-start", ({ detail }) => {
  restart();
  picture = detail;
});

button.addEventListener("share-ready", async ({ detail: share }) => {
  const { signal } = run;
  $("page-link").href = share.page_url;
  $("picture-link").href = `${share.url}?raw`; // else it opens its page
  countDown(share, signal);
  $("json").replaceChildren(...colored(share));
  const texts = await announced(share.page_url);
  if (signal.aborted) return;
  $("link-cards").replaceChildren(
    ...Object.entries(LINKED).map(([network, name]) => linkCard(network, name, share, texts)),
  );
  const cards = Object.entries(PICTURED).map(([network, { name, size }]) => {
    const card = pictureCard(network, name, size, texts);
    card.dataset.platform = network;
    return card;
  });
  $("picture-cards").replaceChildren(...cards);
  $("result").hidden = false;
  for (const card of cards) await fill(card, signal);
});

button.addEventListener("share-deleted", () => {
  const others = extras;
  restart();
  picture = null;
  for (const share of others) deleteShare(share);
});

function restart() {
  run.abort();
  run = new AbortController();
  extras = [];
  $("result").hidden = countdown.hidden = true;
}

// ------------------------------------------------------------------------------ how it looks

/** Read from a page what networks read: its Open Graph tags. */
async function announced(pageUrl) {
  const html = await (await fetch(pageUrl)).text();
  const tags = html.match(/<meta [^>]+>/g) ?? []; // its inline style is not for this page's CSP
  const page = new DOMParser().parseFromString(tags.join(""), "text/html");
  const tag = (name) => page.querySelector(`meta[property="og:${name}"]`)?.content ?? "";
  return {
    title: tag("title"),
    description: tag("description"),
    alt: tag("image:alt"),
    site: tag("site_name"),
    host: new URL(pageUrl).host,
    pageUrl,
  };
}

function cardOf(network, name, { title, description, alt, host }) {
  const card = $("card").content.firstElementChild.cloneNode(true);
  card.className = `card ${network}`;
  card.querySelector("h3").textContent = name;
  card.querySelector(".title").textContent = title;
  card.querySelector(".description").textContent = description;
  card.querySelector(".host").textContent = host;
  card.querySelector("img").alt = alt;
  return card;
}

function linkCard(network, name, share, texts) {
  const card = cardOf(network, name, texts);
  const image = card.querySelector("img");
  [image.width, image.height, image.src] = [1200, 630, share.card_url];
  const words = card.querySelector(".words");
  if (network === "telegram") card.querySelector(".host").textContent = texts.site;
  if (["facebook", "linkedin"].includes(network)) words.remove();
  else if (["whatsapp", "telegram", "email"].includes(network)) words.textContent = texts.pageUrl;
  else words.textContent = texts.title;
  offer(card, name, share.links[network]);
  return card;
}

function pictureCard(network, name, [width, height], texts) {
  const card = cardOf(network, name, texts);
  const image = card.querySelector("img");
  [image.width, image.height] = [width, height];
  card.querySelector(".words").textContent = texts.title;
  card.querySelector(".go").remove();
  return card;
}

/** Give a card its picture: a share of its own, for the network's shape. */
async function fill(card, signal) {
  const { platform } = card.dataset;
  const fit = button.getAttribute("fit") ?? undefined;
  try {
    const made = await shareImage(picture, { platform, fit, signal });
    extras.push(made);
    card.querySelector("img").src = made.url;
    const link = document.createElement("a");
    link.className = "go";
    card.append(link);
    if (made.links[platform]) offer(card, PICTURED[platform].name, made.links[platform]);
    else {
      link.href = `${made.url}?raw`;
      link.download = `${platform}.jpg`;
      link.textContent = "Download the picture";
    }
  } catch (error) {
    if (!signal.aborted) card.querySelector(".words").textContent = error.message;
  }
}

function offer(card, name, href) {
  const link = card.querySelector(".go");
  link.href = href;
  link.target = "_blank";
  link.rel = "noopener";
  link.textContent = name === "Email" ? "Write an email" : `Share on ${name}`;
}

// ------------------------------------------------------------------------------ the rest

/** Count by the server's clock, which the share's id holds (UUIDv7), not by this device's. */
function countDown(share, signal) {
  const madeAt = parseInt(share.share_id.replace("-", "").slice(0, 12), 16);
  const started = performance.now();
  const tick = () => {
    if (signal.aborted) return clearInterval(timer);
    const seconds = share.expires_at - (madeAt + performance.now() - started) / 1000;
    const parts = [seconds / 3600, (seconds / 60) % 60, seconds % 60];
    $("left").textContent = parts.map(twoDigits).join(":");
    if (seconds <= 0) restart();
  };
  const timer = setInterval(tick, 1000);
  tick();
  $("left").dateTime = new Date(share.expires_at * 1000).toISOString();
  countdown.hidden = false;
}

function twoDigits(number) {
  return String(Math.max(0, Math.floor(number))).padStart(2, "0");
}

/** JSON with its keys and values marked. */
function colored(value) {
  const tokens = JSON.stringify(value, null, 2).split(/("(?:[^"\\]|\\.)*"(?:: )?)/);
  return tokens.map((token) => {
    if (!token.startsWith('"')) return token;
    const span = document.createElement("span");
    span.className = token.endsWith(": ") ? "key" : "string";
    span.textContent = token;
    return span;
  });
}

// Body, head, ears, muzzle, eyes, nose, collar: from back to front.
const SHAPES = [
  ["#2f2a33", "M430 1200C430 900 560 800 800 800S1170 900 1170 1200Z"],
  [
    "#3b3540",
    "M800 260C1060 260 1120 470 1100 620 1080 800 950 880 800 880S520 800 500 620" +
      "C480 470 540 260 800 260Z",
  ],
  [
    "#3b3540",
    "M520 480L500 170C500 150 520 145 535 160L740 300Z",
    "M1080 480L1100 170C1100 150 1080 145 1065 160L860 300Z",
  ],
  ["#c98c86", "M545 400L535 230 660 315Z", "M1055 400L1065 230 940 315Z"],
  [
    "#f4eee7",
    "M800 660C900 650 960 720 930 790 905 850 850 872 800 872S695 850 670 790" +
      "C640 720 700 650 800 660Z",
  ],
  [
    "#e9c46a",
    "M570 570C600 500 720 500 740 580 710 640 600 640 570 570Z",
    "M1030 570C1000 500 880 500 860 580 890 640 1000 640 1030 570Z",
  ],
  [
    "#1a171d",
    "M655 528C690 550 690 605 655 625 622 605 622 550 655 528Z",
    "M945 528C978 550 978 605 945 625 910 605 910 550 945 528Z",
  ],
  ["#ffffff", "M668 552a13 13 0 1 0 1 0Z", "M958 552a13 13 0 1 0 1 0Z"],
  ["#d9827a", "M755 695C780 680 820 680 845 695 840 725 815 745 800 745S760 725 755 695Z"],
  ["#7a2e12", "M590 905C700 960 900 960 1010 905L1025 950C900 1010 700 1010 575 950Z"],
  ["#e9c46a", "M800 965a38 38 0 1 0 1 0Z"],
];
const STROKES = [
  ["#3b3540", 8, "M800 745V775C795 815 745 820 725 795M800 775C805 815 855 820 875 795"],
  ["#f4eee7", 4, "M660 745L420 700M660 765L410 775M665 785L430 850"],
  ["#f4eee7", 4, "M940 745L1180 700M940 765L1190 775M935 785L1170 850"],
];

/** A pet to try with: on a ground as in a photo, or alone as in a cut-out. */
function sample(kind) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1600, 1200];
  const draw = canvas.getContext("2d");
  const fill = (color, ...paths) => {
    draw.fillStyle = color;
    for (const path of paths) draw.fill(new Path2D(path));
  };
  if (kind === "photo") {
    const sky = draw.createLinearGradient(0, 0, 1600, 1200);
    sky.addColorStop(0, "#f6d8ae");
    sky.addColorStop(0.6, "#e58f65");
    sky.addColorStop(1, "#7a2e12");
    draw.fillStyle = sky;
    draw.fillRect(0, 0, 1600, 1200);
    for (let at = 0; at < 40; at += 1) {
      draw.fillStyle = `hsl(${20 + at} 80% 80% / ${0.05 + (at % 5) * 0.02})`;
      draw.beginPath();
      draw.arc((at * 613) % 1600, (at * 389) % 900, 20 + ((at * 71) % 110), 0, 7);
      draw.fill();
    }
  }
  for (const [color, ...paths] of SHAPES) fill(color, ...paths);
  draw.lineCap = "round";
  for (const [color, width, path] of STROKES) {
    [draw.strokeStyle, draw.lineWidth] = [color, width];
    draw.stroke(new Path2D(path));
  }
  return canvas;
}

for (const choice of document.querySelectorAll("[data-sample]")) {
  choice.addEventListener("click", () => button.share(sample(choice.dataset.sample), { chooser: true }));
}

$("fits").addEventListener("change", ({ target }) => {
  if (target.value) button.setAttribute("fit", target.value);
  else button.removeAttribute("fit");
  if (picture) button.share(picture, { chooser: true });
});

const here = new URL(".", location.href).href;
$("tag-code").textContent = `<script type="module"
  src="${here}share-image.js"></script>

<share-image-button
  platform="pinterest"
  networks="pinterest whatsapp email">
</share-image-button>`;
$("call-code").textContent = `import { shareImage }
  from "${here}share-image.js";

const share = await shareImage(canvas, {
  platform: "facebook",
  onProgress: ({ stage, progress }) =>
    show(stage, progress),
});`;
$("curl-code").textContent = `curl \\
  -F file=@photo.jpg \\
  -F platform=facebook \\
  ${here}api/v2/share-image`;

fetch("health")
  .then((answer) => answer.json())
  .then(({ share_ttl_hours: hours }) => {
    $("lifetime").textContent = hours === 1 ? "an hour" : `${hours} hours`;
  })
  .catch(() => {});
