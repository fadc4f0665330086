// Follows a QR code on the holder's screen: counts the seconds down, and moves on to the page that
// tells what became of the code as soon as it was received, taken back, or is over. Without it the
// page says until when the code works, and leads there by itself.
"use strict";

const code = document.getElementById("qr");
const left = document.getElementById("qr-left");
const end = Date.now() + 1000 * Number(code.dataset.seconds);

function moveOn() {
  clearInterval(counting);
  clearInterval(asking);
  location.replace(code.dataset.result);
}

function count() {
  const seconds = Math.ceil((end - Date.now()) / 1000);
  if (seconds <= 0) {
    moveOn();
    return;
  }
  left.textContent = left.dataset.text.replace("{n}", seconds);
}

async function ask() {
  try {
    const answer = await fetch(code.dataset.result + "/state", { redirect: "error" });
    if (answer.ok && (await answer.json()).state !== "waiting") {
      moveOn();
    }
  } catch {
    // no network for a moment: the next question, or the end of the time, will tell
  }
}

const counting = setInterval(count, 1000);
const asking = setInterval(ask, 2000);
count();
