// The camera of the gate: reads one QR code and sends the form. Without a camera, without the
// browser's barcode reader or without permission, the field for pasting stays.
"use strict";

(() => {
  const box = document.getElementById("camera");
  const start = document.getElementById("camera-start");
  const video = document.getElementById("camera-video");
  const note = document.getElementById("camera-note");
  const form = document.getElementById("gate-form");
  const field = document.getElementById("qr");

  box.hidden = false;
  const say = (key) => { note.textContent = note.dataset[key]; };

  if (!("BarcodeDetector" in window) || !navigator.mediaDevices) {
    start.hidden = true;
    say("missing");
    return;
  }

  start.addEventListener("click", async () => {
    let stream;
    try {
      const formats = await BarcodeDetector.getSupportedFormats();
      if (!formats.includes("qr_code")) {
        start.hidden = true;
        say("missing");
        return;
      }
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      video.hidden = false;
      await video.play();
    } catch {
      video.hidden = true;
      say("denied");
      return;
    }
    start.hidden = true;
    say("looking");
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    const look = async () => {
      const [code] = await detector.detect(video).catch(() => []);
      if (!code) {
        setTimeout(look, 150);
        return;
      }
      stream.getTracks().forEach((track) => track.stop());
      field.value = code.rawValue;
      form.requestSubmit();
    };
    look();
  });
})();
