// Follows a sign-in that happens on somebody's telephone: asks for this page again every few seconds
// and moves on when it leads elsewhere. Without it the page reloads itself, which interrupts people
// who have it read to them.
"use strict";

const page = document.getElementById("screen");

setInterval(async () => {
  try {
    const answer = await fetch(location.pathname);
    if (answer.redirected || !answer.ok) {
      location.replace(answer.url);
    }
  } catch {
    // no network for a moment: the next time will tell
  }
}, 1000 * Number(page.dataset.seconds));
