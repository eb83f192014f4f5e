// A file or a camera picture for Python: made small enough for one message, upright, as the bytes of a file.
const LONGEST = 1600; // pixels: a larger picture gains nothing for faces of 48×48
const LARGEST = 8e6; // bytes of a message

async function smaller(blob) {
  let picture;
  try {
    picture = await createImageBitmap(blob);
  } catch {
    return blob; // a kind that the browser does not know; Python may
  }
  const factor = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  if (factor === 1 && blob.size < LARGEST) return blob;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * factor));
  canvas.height = Math.max(1, Math.round(picture.height * factor));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

function render({ model, el }) {
  el.innerHTML = `
    <label class="fercore-button" tabindex="0">Choose a picture<input type="file" accept="image/*" hidden></label>
    <button class="fercore-button" data-does="camera">Use the camera</button>
    <button class="fercore-button" data-does="take" hidden>Take the picture</button>
    <p class="fercore-status" role="status"></p>
    <video autoplay playsinline muted hidden></video>
    <p><small>An expression in a picture is not a feeling: labels of the training data are words that people agreed on in
    about two cases of three. Your picture goes from your browser to the machine that runs this page and no further: it is
    held in memory, never written to a file.</small></p>`;
  const [file, video, status] = ["input", "video", "p"].map((name) => el.querySelector(name));
  const [camera, take] = ["camera", "take"].map((name) => el.querySelector(`[data-does=${name}]`));
  let stream;

  async function send(blob, name) {
    const small = await smaller(blob);
    if (small.size > LARGEST) {
      status.textContent = `${name}: over ${LARGEST / 1e6} MB and of a kind that the browser cannot make smaller.`;
      return;
    }
    status.textContent = "Looking for faces …";
    model.set("name", name);
    model.set("picture", new DataView(await small.arrayBuffer()));
    model.set("count", model.get("count") + 1); // the same file twice is looked at twice
    model.save_changes();
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = undefined;
    video.hidden = take.hidden = true;
    camera.textContent = "Use the camera";
  }

  async function start() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
    } catch (error) {
      status.textContent = `No camera picture: ${error.message}. Browsers show cameras to pages at localhost or by https.`;
      return;
    }
    video.srcObject = stream;
    video.hidden = take.hidden = false;
    camera.textContent = "Stop the camera";
    status.textContent = "";
  }

  function shot() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    if (!canvas.width) return;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => send(blob, "camera picture"), "image/jpeg", 0.92);
    stop();
  }

  file.addEventListener("change", () => {
    if (file.files.length) send(file.files[0], file.files[0].name);
    file.value = "";
  });
  file.parentElement.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") file.click();
  });
  camera.addEventListener("click", () => (stream ? stop() : start()));
  take.addEventListener("click", shot);
  model.on("change:status", () => (status.textContent = model.get("status")));
  return stop;
}

export default { render };
