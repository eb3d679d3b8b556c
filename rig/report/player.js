// Moves everything on the page to one moment of the story. No library but the drawings' own; no request to anybody.
"use strict";
(() => {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const byId = (id) => document.getElementById(id);
  const slider = byId("time");
  if (!slider) return;
  const TRAIL_S = Math.max(20, scene.duration_s / 20);
  const state = { t: 0, playing: false, drawings: null, last: 0 };

  // ---- looking up ------------------------------------------------------------------------------------------------
  // index of the last element that is not above t, -1 where all are
  const upTo = (sorted, t) => {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= t) low = middle + 1; else high = middle;
    }
    return low - 1;
  };
  const placeOf = (person, t) => {
    if (!person.t.length) return null;
    const i = Math.min(Math.max(upTo(person.t, t), 0), person.t.length - 1);
    const j = Math.min(i + 1, person.t.length - 1);
    const span = person.t[j] - person.t[i];
    const share = span > 0 ? Math.min(Math.max((t - person.t[i]) / span, 0), 1) : 0;
    return {
      x: person.x[i] + share * (person.x[j] - person.x[i]),
      y: person.y[i] + share * (person.y[j] - person.y[i]),
      mps: span > 0 ? Math.hypot(person.x[j] - person.x[i], person.y[j] - person.y[i]) / span : 0,
    };
  };
  const clock = (t) => {
    const whole = Math.floor(t), hours = Math.floor(whole / 3600), two = (n) => String(n).padStart(2, "0");
    const rest = two(whole % 60);
    return hours ? `${hours}:${two(Math.floor(whole / 60) % 60)}:${rest}` : `${Math.floor(whole / 60)}:${rest}`;
  };
  const metres = (m) => m >= 10000 ? `${(m / 1000).toFixed(1)} km` : m >= 100 ? `${Math.round(m)} m` : `${m.toFixed(1)} m`;

  // ---- drawings ----------------------------------------------------------------------------------------------------
  const findDrawings = () => {
    const documents = window.Bokeh ? Bokeh.documents : [];
    const named = (name) => {
      for (const each of documents) {
        const model = each.get_model_by_name(name);
        if (model) return model;
      }
      return null;
    };
    if (!named("map")) return null;
    const found = { documents };
    for (const name of ["map", "timeline", "cursor", "now_rings", "now_links", "now_fixes", "now_trails", "now_people",
      "map_alerts", "timeline_alerts"]) found[name] = named(name);
    return found;
  };
  const fit = () => {
    const map = state.drawings.map;
    if (!(map.inner_width > 0 && map.inner_height > 0)) return;
    const [x0, x1, y0, y1] = scene.extent;
    for (const model of map.renderers) if (model.name === "times") model.visible = map.inner_width > 420;
    const scale = Math.max((x1 - x0) / map.inner_width, (y1 - y0) / map.inner_height);
    const set = (range, from, to, pixels) => {
      const middle = (from + to) / 2, half = scale * pixels / 2;
      range.setv({ start: middle - half, end: middle + half, reset_start: middle - half, reset_end: middle + half });
    };
    set(map.x_range, x0, x1, map.inner_width);
    set(map.y_range, y0, y1, map.inner_height);
  };

  // ---- one moment --------------------------------------------------------------------------------------------------
  const people = new Map(scene.people.map((person) => [person.device, person]));
  const move = (t) => {
    const now = { rings: { x: [], y: [], radius: [], color: [], label: [], top: [] },
      links: { x0: [], y0: [], x1: [], y1: [], color: [] },
      fixes: { x: [], y: [], width: [], height: [], angle: [], color: [] },
      trails: { xs: [], ys: [], color: [] }, people: { x: [], y: [], color: [], label: [], lift: [] } };
    const cards = [];
    for (const person of scene.people) {
      const at = placeOf(person, t);
      if (!at) continue;
      now.people.x.push(at.x); now.people.y.push(at.y);
      now.people.color.push(person.color); now.people.label.push(person.name);
      now.people.lift.push(person.lift);
      const from = upTo(person.t, t - TRAIL_S) + 1, to = upTo(person.t, t) + 1;
      now.trails.xs.push([...person.x.slice(from, to), at.x]); now.trails.ys.push([...person.y.slice(from, to), at.y]);
      now.trails.color.push(person.color);
      const i = upTo(person.fix_t, t);
      const card = { person, at, fix: null };
      if (i >= 0) {
        card.fix = { age: t - person.fix_t[i], off: Math.hypot(person.fix_x[i] - at.x, person.fix_y[i] - at.y),
          sigma: person.fix_s[i] };
        now.fixes.x.push(person.fix_x[i]); now.fixes.y.push(person.fix_y[i]);
        now.fixes.width.push(person.fix_w[i] ?? 0); now.fixes.height.push(person.fix_h[i] ?? 0);
        now.fixes.angle.push(person.fix_a[i] ?? 0); now.fixes.color.push(person.color);
      }
      cards.push(card);
    }
    const pairs = [];
    const ringed = new Set();
    for (const pair of scene.pairs) {
      const him = people.get(pair.wearer), her = people.get(pair.protected);
      const his = him && placeOf(him, t), hers = her && placeOf(her, t);
      if (!his || !hers) continue;
      now.links.x0.push(his.x); now.links.y0.push(his.y); now.links.x1.push(hers.x); now.links.y1.push(hers.y);
      now.links.color.push(her.color);
      const distance = Math.hypot(his.x - hers.x, his.y - hers.y);
      const inside = pair.rings.filter(([, radius]) => distance <= radius);
      pairs.push({ him, her, distance, band: inside.length ? inside[inside.length - 1][0] : "clear",
        next: pair.rings.find(([, radius]) => distance > radius && radius === Math.max(
          ...pair.rings.filter(([, r]) => distance > r).map(([, r]) => r))) });
      if (ringed.has(pair.protected)) continue;
      ringed.add(pair.protected);
      for (const [name, radius] of pair.rings) {
        now.rings.x.push(hers.x); now.rings.y.push(hers.y); now.rings.radius.push(radius);
        now.rings.color.push(her.color); now.rings.label.push(`${name} ${radius} m`); now.rings.top.push(hers.y + radius);
      }
    }
    const drawings = state.drawings;
    if (drawings) {
      drawings.now_rings.data = now.rings; drawings.now_links.data = now.links; drawings.now_fixes.data = now.fixes;
      drawings.now_trails.data = now.trails; drawings.now_people.data = now.people;
      if (drawings.cursor) drawings.cursor.location = t;
      for (const name of ["map_alerts", "timeline_alerts"]) {
        const source = drawings[name];
        if (!source) continue;
        const alphas = Array.from(source.data.t_s, (at) => at <= t ? 1 : name === "map_alerts" ? 0.15 : 0.4);
        if (alphas.every((value, i) => value === source.data.alpha[i])) continue;
        // a number of something that has not come yet would only cover what has
        source.data = { ...source.data, alpha: alphas, label_alpha: alphas.map((value) => value === 1 ? 1 : 0) };
      }
    }
    tell(t, cards, pairs);
  };

  // ---- the panel beside the map --------------------------------------------------------------------------------------
  const element = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const tell = (t, cards, pairs) => {
    byId("clock").textContent = clock(t);
    byId("utc").textContent = scene.start_ms ? new Date(scene.start_ms + t * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC" : "";
    slider.setAttribute("aria-valuetext", clock(t));
    const panel = byId("now");
    panel.replaceChildren();
    for (const { him, her, distance, band, next } of pairs) {
      const card = element("div", `card band-${band.replace("-", "")}`);
      card.append(element("b", "", metres(distance)), element("span", "chip", band));
      card.append(element("small", "", `${him.name} from ${her.name}${next ? `; ${next[0]} ring at ${next[1]} m` : ""}`));
      panel.append(card);
    }
    for (const { person, at, fix } of cards) {
      const card = element("div", "card who");
      card.style.borderLeftColor = person.color;
      card.append(element("b", "", person.name), element("span", "quiet", person.name === person.device ? "" : person.device));
      const moving = at.mps >= 0.2 ? `${at.mps.toFixed(1)} m/s` : "standing";
      const parts = [moving];
      if (!fix) parts.push("no fix yet");
      else {
        parts.push(`fix ${fix.age < 10 ? fix.age.toFixed(1) : Math.round(fix.age)} s old, off by ${metres(fix.off)}`);
        if (fix.sigma !== null) parts.push(`told ±${metres(fix.sigma)}`);
      }
      const line = element("small", fix && person.stale_s && fix.age > person.stale_s ? "old" : "", parts.join(" · "));
      card.append(line);
      panel.append(card);
    }
    const open = new Map();
    for (const alert of scene.alerts) if (alert.t <= t) open.set(alert.lane, alert);
    const standing = [...open.values()].filter((alert) => alert.open);
    const list = (title, lines, empty) => {
      const block = element("div", "list");
      block.append(element("h3", "", title));
      if (!lines.length) block.append(element("small", "quiet", empty));
      for (const { text, bad } of lines) block.append(element("div", bad ? "line bad" : "line", text));
      panel.append(block);
    };
    const during = (each) => each.from <= t && t < Math.max(each.to, each.from + 1);
    if (scene.felt.length) list("She feels", scene.felt.filter(during), "nothing");
    list("Alerts that stand", standing.map((a) => ({ text: `${a.n}  ${a.text}`, bad: a.bad })), "none");
    if (scene.happened.length) list("The bench does", scene.happened.filter(during), "nothing just now");
  };

  // ---- steering ------------------------------------------------------------------------------------------------------
  const go = (t, { keep = false } = {}) => {
    state.t = Math.min(Math.max(t, 0), scene.duration_s);
    slider.value = state.t;
    slider.style.setProperty("--done", `${100 * state.t / scene.duration_s}%`);
    if (!keep) play(false);
    move(state.t);
  };
  const frame = (stamp) => {
    if (!state.playing) return;
    const step = state.last ? (stamp - state.last) / 1000 * Number(byId("rate").value) : 0;
    state.last = stamp;
    if (state.t + step >= scene.duration_s) { go(scene.duration_s); return; }
    go(state.t + step, { keep: true });
    requestAnimationFrame(frame);
  };
  const play = (on) => {
    if (on && state.t >= scene.duration_s) go(0);
    state.playing = on;
    state.last = 0;
    byId("play").setAttribute("aria-pressed", String(on));
    byId("play").setAttribute("aria-label", on ? "Pause" : "Play");
    if (on) requestAnimationFrame(frame);
  };
  const moments = [...new Set([...scene.alerts.map((a) => a.t), ...scene.happened.map((h) => h.from)])].sort((a, b) => a - b);
  const ticks = () => {
    const marks = byId("ticks");
    const put = (kind, t, width) => {
      const mark = element("i", kind);
      mark.style.left = `${100 * Math.min(Math.max(t, 0), scene.duration_s) / scene.duration_s}%`;
      if (width) mark.style.width = `${100 * Math.min(width, scene.duration_s - t) / scene.duration_s}%`;
      marks.append(mark);
    };
    for (const each of scene.happened) put("bench", each.from, Math.max(each.to - each.from, 0));
    for (const each of scene.alerts) put(each.bad ? "alert bad" : each.open ? "alert" : "alert over", each.t, 0);
  };
  slider.addEventListener("input", () => go(Number(slider.value)));
  byId("play").addEventListener("click", () => play(!state.playing));
  byId("before").addEventListener("click", () => go([...moments].reverse().find((t) => t < state.t - 0.01) ?? 0));
  byId("after").addEventListener("click", () => go(moments.find((t) => t > state.t + 0.01) ?? scene.duration_s));
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-t]");
    if (!target) return;
    go(Number(target.dataset.t));
    if (!target.closest("#scene-section")) byId("scene-section").scrollIntoView({ behavior: "auto", block: "start" });
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input,select,button,a,summary")) return;
    if (event.key === " ") { event.preventDefault(); play(!state.playing); }
    else if (event.key === "ArrowLeft") go(state.t - 1);
    else if (event.key === "ArrowRight") go(state.t + 1);
  });
  for (const box of document.querySelectorAll("[data-layer]")) {
    box.addEventListener("change", () => {
      if (!state.drawings) return;
      for (const model of state.drawings.map.renderers) if (model.name === box.dataset.layer) model.visible = box.checked;
      for (const side of ["center"]) for (const model of state.drawings.map[side]) {
        if (model.name === box.dataset.layer) model.visible = box.checked;
      }
    });
  }
  const fromHash = () => {
    const asked = /^#t=([0-9.]+)$/.exec(location.hash);
    return asked ? Number(asked[1]) : null;
  };
  window.addEventListener("hashchange", () => { const t = fromHash(); if (t !== null) go(t); });

  // ---- the drawings come up on their own time ------------------------------------------------------------------------
  const begin = (tries) => {
    state.drawings = findDrawings();
    if (!state.drawings) {
      if (tries > 0) setTimeout(() => begin(tries - 1), 50);
      return;
    }
    const map = state.drawings.map;
    fit();
    for (const side of ["inner_width", "inner_height"]) map.properties[side].change.connect(fit);
    const timeline = state.drawings.timeline;
    if (timeline) {
      const catcher = byId("timeline");
      catcher.addEventListener("click", (event) => {
        const view = Bokeh.index.get_by_id ? Bokeh.index.find_one(timeline) : null;
        const box = view && view.frame && view.frame.bbox;
        if (!box || event.detail !== 1) return;
        const x = event.clientX - view.el.getBoundingClientRect().left - box.left;
        if (x < 0 || x > box.width) return;
        go(timeline.x_range.start + x / box.width * (timeline.x_range.end - timeline.x_range.start));
      });
    }
    document.body.dataset.ready = "yes";
    move(state.t);
  };
  slider.max = scene.duration_s;
  slider.step = scene.duration_s > 1800 ? 1 : 0.1;
  ticks();
  go(fromHash() ?? Number(slider.dataset.first));
  begin(400);
})();
