"use strict";
// What is seen and pressed; the dream itself lives on the server. One websocket, one canvas a picture.

const element = (id) => document.getElementById(id);
const held = new Set();
const state = { socket: null, controls: [], sent: [], isPlaying: false, isRecording: false, waits: 250, times: [], delays: [], moments: 0 };
window.play = state; // for whoever looks at the page from outside

function connect() {
  const query = new URLSearchParams(location.search);
  const visitor = sessionStorage.getItem("visitor");
  if (visitor) query.set("visitor", visitor);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/play?${query}`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => (typeof event.data === "string" ? hear(JSON.parse(event.data)) : show(event.data));
  socket.onopen = () => { state.waits = 250; say(""); };
  socket.onclose = (event) => {
    setPlaying(false);
    say(event.reason || "The server is gone; looking for it again.");
    setTimeout(connect, state.waits);
    state.waits = Math.min(2 * state.waits, 5000);
  };
  state.socket = socket;
}

function send(message) {
  if (state.socket && state.socket.readyState === WebSocket.OPEN) state.socket.send(JSON.stringify(message));
}

function say(text) { element("message").textContent = text; }

function fill(select, values) {
  const before = select.value;
  select.replaceChildren(...values.map((value) => new Option(value, value)));
  if (values.map(String).includes(before)) select.value = before;
}

function hear(message) {
  if (message.type === "error") say(message.message);
  if (message.type === "saved" && message.path) say(`Saved ${message.path}`);
  if (message.type === "hello") {
    sessionStorage.setItem("visitor", message.visitor);
    fill(element("name"), message.names);
    if (!state.moments) { element("seed").value = message.seed; start(); }
  }
  if (message.type === "started") {
    say("");
    state.controls = message.controls;
    state.sent = [];
    element("task").value = message.task;
    element("episode-label").hidden = !message.episodes;
    if (message.episodes) fill(element("episode"), message.episodes);
    drawControls();
  }
}

function start() {
  const message = { type: "start", name: element("name").value, seed: Number(element("seed").value) || 0 };
  const task = element("task").value.trim();
  if (task && element("task").dataset.edited) message.task = task;
  if (!element("episode-label").hidden && element("episode").value) message.episode = Number(element("episode").value);
  delete element("task").dataset.edited;
  element("pictures").replaceChildren();
  setPlaying(false);
  send(message);
}

async function show(data) {
  const length = new DataView(data).getUint32(0, true);
  const moment = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  let place = 4 + length;
  for (const { name, size } of moment.pictures) {
    const picture = await createImageBitmap(new Blob([new Uint8Array(data, place, size)], { type: "image/png" }));
    place += size;
    draw(name, picture);
  }
  state.moments += 1;
  state.last = moment;
  read(moment);
}

function draw(name, picture) {
  let canvas = document.querySelector(`canvas[data-name="${CSS.escape(name)}"]`);
  if (!canvas) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    canvas = document.createElement("canvas");
    canvas.dataset.name = caption.textContent = name;
    figure.append(canvas, caption);
    element("pictures").append(figure);
  }
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

function read(moment) {
  const now = performance.now();
  state.times = [...state.times.filter((time) => now - time < 2000), now];
  if (moment.stamp !== null && moment.stamp !== state.lastStamp) {
    state.lastStamp = moment.stamp;
    state.delays = [...state.delays.slice(-199), now - moment.stamp];
  }
  const sorted = [...state.delays].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  element("number").textContent = moment.number;
  element("seconds").textContent = `${moment.seconds.toFixed(1)} s`;
  element("rate").textContent = (state.times.length / 2).toFixed(0);
  if (sorted.length) element("delay").textContent = `${at(0.5).toFixed(0)} ms, p95 ${at(0.95).toFixed(0)}`;
  if (moment.reward !== null) element("reward").textContent = moment.reward.toFixed(2);
  if (moment.success !== null) element("success").textContent = `${(100 * moment.success).toFixed(0)} %`;
  if (moment.drift) element("drift").textContent = Object.values(moment.drift).map((value) => value.toFixed(2)).join(" ");
  if (moment.is_over) { setPlaying(false); say("The dream ends here: it deserves no belief any more, or the episode is over."); }
  document.querySelectorAll("#controls meter").forEach((meter, number) => { meter.value = moment.pushes[number] || 0; });
}

function drawControls() {
  const key = (code) => `<kbd>${code.replace(/^Key|^Arrow/, "")}</kbd>`;
  element("controls").innerHTML = state.controls
    .map(({ name, minus, plus }) => `<tr><th>${name}</th><td>${key(minus)} ${key(plus)}</td><td><meter min="-1" max="1" value="0"></meter></td></tr>`)
    .join("");
}

function pushes() {
  const pad = [...(navigator.getGamepads ? navigator.getGamepads() : [])].find(Boolean);
  return state.controls.map(({ minus, plus, axis, flips }) => {
    const keys = Number(held.has(plus)) - Number(held.has(minus));
    if (keys || !pad || axis < 0 || axis >= pad.axes.length) return keys;
    const value = Math.abs(pad.axes[axis]) < 0.1 ? 0 : Math.max(-1, Math.min(1, pad.axes[axis]));
    return flips ? -value : value;
  });
}

function act() {
  const now = pushes();
  if (now.length === state.sent.length && now.every((value, number) => Math.abs(value - state.sent[number]) < 0.02)) return;
  state.sent = now;
  send({ type: "act", pushes: now, stamp: performance.now() });
}

function setPlaying(isOn) {
  if (isOn !== state.isPlaying) send({ type: "play", on: isOn, speed: Number(element("speed").value) });
  state.isPlaying = isOn;
  element("play").textContent = isOn ? "pause (space)" : "play (space)";
}

function move(type) { setPlaying(false); act(); send({ type }); }

const isTyping = (event) => ["INPUT", "SELECT"].includes(event.target.tagName);
addEventListener("keydown", (event) => {
  if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.code === "Space") setPlaying(!state.isPlaying);
  else if (event.code === "Period") move("step");
  else if (event.code === "Comma") move("back");
  else if (state.controls.some(({ minus, plus }) => [minus, plus].includes(event.code))) held.add(event.code);
  else return;
  event.preventDefault();
  act();
});
addEventListener("keyup", (event) => { held.delete(event.code); act(); });
addEventListener("blur", () => { held.clear(); act(); });

addEventListener("DOMContentLoaded", () => {
  element("start").onclick = start;
  element("name").onchange = () => { element("episode-label").hidden = true; start(); };
  element("play").onclick = () => { setPlaying(!state.isPlaying); element("play").blur(); };
  element("step").onclick = () => move("step");
  element("back").onclick = () => move("back");
  element("task").oninput = () => { element("task").dataset.edited = "yes"; };
  element("speed").onchange = () => { if (state.isPlaying) send({ type: "play", on: true, speed: Number(element("speed").value) }); };
  element("record").onclick = () => {
    state.isRecording = !state.isRecording;
    element("record").textContent = state.isRecording ? "stop and save" : "record";
    send({ type: "record", on: state.isRecording });
  };
  setInterval(act, 33); // a gamepad says nothing by itself
  connect();
});
