"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const end = data.times.length ? data.times[data.times.length - 1] : 0;
  const hidden = new Set();
  let plots = [];
  let isFollowing = false;

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const tone = (index) => css(index < 0 ? "--ink" : `--tone-${index % 8}`);
  const dash = (line) => (line.is_muted ? [5, 4] : line.tone >= 8 ? [9, 3] : []);
  const add = (parent, tag, text) => {
    const element = parent.appendChild(document.createElement(tag));
    if (text !== undefined) element.textContent = text;
    return element;
  };

  const two = (value) => String(value).padStart(2, "0");
  function clock(secs, step) {
    const whole = Math.round(secs * 10) / 10;
    if (step >= 86400) return `${Math.round(secs / 86400)} d`;
    const days = Math.floor(whole / 86400), hours = Math.floor(whole / 3600) % 24;
    const minutes = Math.floor(whole / 60) % 60, rest = whole % 60;
    if (days) return `${days} d ${two(hours)}:${two(minutes)}`;
    const tail = step < 1 ? rest.toFixed(1).padStart(4, "0") : two(Math.floor(rest));
    return whole >= 3600 ? `${hours}:${two(minutes)}:${tail}` : `${minutes}:${tail}`;
  }
  function figure(value, unit) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const text = size >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
    return unit ? `${text} ${unit}` : text;
  }

  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];
  for (let days = 1; days < 1e4; days *= 2) steps.push(days * 86400);

  function xAxis() {
    return {
      stroke: css("--soft"), grid: { show: false }, ticks: { stroke: css("--line"), width: 1, size: 4 }, size: 26, gap: 3,
      font: "11px system-ui, sans-serif", space: 74, incrs: steps, values: (u, splits, axis, space, step) => splits.map((at) => clock(at, step)),
    };
  }
  function yAxis(spec) {
    return {
      stroke: css("--soft"), grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, size: 46, gap: 6,
      font: "11px system-ui, sans-serif", space: 34,
      values: (u, splits) => splits.map((value) => (value === null ? "" : size(value))),
    };
  }
  // At most seven characters, which an axis has room for.
  function size(value) {
    const each = Math.abs(value);
    if (each >= 1e12 || (each && each < 1e-3)) return (+value.toPrecision(2)).toExponential();
    const [unit, letter] = each >= 1e9 ? [1e9, "G"] : each >= 1e6 ? [1e6, "M"] : each >= 1e4 ? [1e3, "k"] : [1, ""];
    return `${+(value / unit).toPrecision(letter ? 3 : 4)}${letter}`;
  }

  function shade(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    for (const [from, to, state] of data.timeline[0] ? data.timeline[0].bands : []) {
      if (state === "wake") continue;
      const left = u.valToPos(from, "x", true), right = u.valToPos(to, "x", true);
      ctx.fillStyle = css(`--${state}`) || "transparent";
      ctx.fillRect(left, bbox.top, Math.max(1, right - left), bbox.height);
    }
    ctx.restore();
  }
  function mark(u, spec) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    ctx.strokeStyle = css("--soft"); ctx.lineWidth = devicePixelRatio;
    if (spec.baseline !== null) {
      const y = Math.round(u.valToPos(spec.baseline, "y", true)) + 0.5;
      ctx.globalAlpha = 0.7;
      ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
    }
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const at of data.sleeps) {
      const x = Math.round(u.valToPos(at, "x", true)) + 0.5;
      ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
    }
    ctx.restore();
  }

  // A triangle at the edge for each visible point beyond the axis.
  function markClipped(u, spec) {
    const { ctx, bbox } = u, size = 4 * devicePixelRatio;
    ctx.save();
    spec.lines.forEach((line, number) => {
      if (line.is_muted || !u.series[number + 1].show) return;
      ctx.fillStyle = tone(line.tone);
      let last = -Infinity;
      line.values.forEach((value, index) => {
        if (value === null) return;
        const isHigh = spec.high !== null && value > spec.high, isLow = spec.low !== null && value < spec.low;
        const x = u.valToPos(data.times[index], "x", true);
        if (!(isHigh || isLow) || x < bbox.left || x > bbox.left + bbox.width || x - last < size) return;
        last = x;
        const edge = isHigh ? bbox.top : bbox.top + bbox.height, inward = isHigh ? size : -size;
        ctx.beginPath(); ctx.moveTo(x, edge); ctx.lineTo(x - size, edge + 1.6 * inward); ctx.lineTo(x + size, edge + 1.6 * inward); ctx.fill();
      });
    });
    ctx.restore();
  }

  function follow(u) {
    if (isFollowing) return;
    isFollowing = true;
    const { min, max } = u.scales.x;
    for (const other of plots) if (other !== u) other.setScale("x", { min, max });
    isFollowing = false;
  }

  function keys(u, event) {
    const { min, max } = u.scales.x, width = u.over.clientWidth;
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move) {
      const left = u.cursor.left >= 0 ? u.cursor.left : width / 2;
      u.setCursor({ left: Math.min(width - 1, Math.max(0, left + move * (event.shiftKey ? 40 : 4))), top: 10 }, true, true);
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const center = u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : (min + max) / 2;
      const half = ((max - min) / 2) * (event.key === "-" ? 2 : 0.5);
      u.setScale("x", { min: Math.max(0, center - half), max: Math.min(end, center + half) });
    } else if (event.key === "0" || event.key === "Escape") {
      u.setScale("x", { min: 0, max: end });
    } else return;
    event.preventDefault();
  }

  function mount(host, options, values) {
    options.width = Math.max(220, host.clientWidth);
    const u = new uPlot(options, values, host);
    host.onkeydown = (event) => keys(u, event);
    plots.push(u);
    return u;
  }
  const cursor = (extra) => ({ sync: { key: "sage" }, y: false, drag: { x: true, y: false, uni: 8 }, points: { size: 6, width: 1.5 }, ...extra });

  function linePlot(host, legend, spec) {
    const outputs = [];
    const series = [{}].concat(spec.lines.map((line) => ({
      label: line.label, stroke: tone(line.tone), width: line.is_muted ? 1.25 : 1.5, dash: dash(line), 
      points: { show: false }, show: !hidden.has(`${spec.id}/${line.label}`),
    })));
    const fixed = (u, low, high) => {
      const bottom = spec.low ?? low ?? 0, top = spec.high ?? high ?? 1;
      return spec.high !== null ? [bottom, top] : uPlot.rangeNum(bottom, Math.max(top, bottom + 1e-9), { min: { pad: 0, soft: bottom, mode: 1 }, max: { pad: 0.08 } });
    };
    const showValues = (u) => {
      const index = u.cursor.idx;
      spec.lines.forEach((line, number) => {
        let value = index === null || index === undefined ? null : line.values[index];
        if (index === null || index === undefined) for (let at = line.values.length - 1; at >= 0 && value === null; at--) value = line.values[at];
        outputs[number].textContent = figure(value, spec.unit);
      });
    };
    legend.replaceChildren();
    const u = mount(host, {
      height: 190, legend: { show: false }, cursor: cursor({}), series,
      scales: { x: { time: false, range: (u, low, high) => [low ?? 0, Math.max(high ?? 1, (low ?? 0) + 1e-3)] }, y: spec.is_log ? { distr: 3, log: 10 } : { range: fixed } },
      axes: [xAxis(), yAxis(spec)],
      hooks: { drawClear: [shade], draw: [(u) => mark(u, spec), (u) => markClipped(u, spec)], setCursor: [(u) => outputs.length && showValues(u)], setScale: [(u, key) => key === "x" && follow(u)] },
    }, [data.times].concat(spec.lines.map((line) => line.values)));
    spec.lines.forEach((line, number) => {
      const button = add(legend, "button");
      const swatch = add(button, "i");
      swatch.style.borderColor = tone(line.tone);
      swatch.className = line.is_muted || line.tone >= 8 ? "muted" : "";
      add(button, "em", line.label);
      outputs.push(add(button, "output"));
      const key = `${spec.id}/${line.label}`;
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(key)));
      button.onclick = () => {
        const isShown = hidden.delete(key) || (hidden.add(key), false);
        button.setAttribute("aria-pressed", String(isShown));
        u.setSeries(number + 1, { show: isShown });
      };
    });
    showValues(u);
  }

  const colours = () => ({
    wake: css("--line"), focus: css("--tone-1"), rest: css("--tone-0"), dream: css("--tone-3"), crisis: css("--bad"),
    running: css("--run"), starting: css("--tone-4"), quarantined: css("--bad"), exhausted: css("--soft"), closed: css("--line"),
  });
  function timeline(host, legend) {
    const rows = data.timeline, colour = colours(), height = 22;
    const seen = [...new Set(rows.flatMap((row) => row.bands.map((band) => band[2])))];
    legend.replaceChildren();
    for (const state of seen) {
      const item = add(legend, "span");
      item.style.cssText = "display:inline-flex;gap:6px;align-items:center";
      const block = add(item, "i");
      block.className = "block";
      block.style.background = colour[state] || css("--soft");
      add(item, "em", state);
    }
    const narrow = host.clientWidth < 480;
    const short = (label) => (label.length > (narrow ? 10 : 18) ? `${label.slice(0, narrow ? 9 : 17)}…` : label);
    const longest = Math.max(...rows.map((row) => short(row.label).length));
    const paint = (u) => {
      const { ctx, bbox } = u, tall = bbox.height / rows.length;
      ctx.save();
      ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
      rows.forEach((row, number) => {
        for (const [from, to, state] of row.bands) {
          const left = u.valToPos(from, "x", true), right = u.valToPos(to, "x", true);
          ctx.fillStyle = colour[state] || css("--soft");
          ctx.fillRect(left, bbox.top + number * tall + 0.18 * tall, Math.max(1.5, right - left), 0.64 * tall);
        }
      });
      ctx.restore();
      ctx.save();
      ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.fillStyle = css("--soft"); ctx.textAlign = "right"; ctx.textBaseline = "middle";
      rows.forEach((row, number) => ctx.fillText(short(row.label), bbox.left - 8 * devicePixelRatio, bbox.top + (number + 0.5) * tall));
      ctx.restore();
    };
    mount(host, {
      height: rows.length * height + 34, legend: { show: false }, cursor: cursor({ points: { show: false } }), series: [{}, { show: true, paths: () => null, points: { show: false } }],
      scales: { x: { time: false }, y: { range: [0, 1] } },
      axes: [xAxis(), { size: Math.max(46, longest * 7.6 + 16), splits: () => [], grid: { show: false }, ticks: { show: false } }],
      hooks: { draw: [paint, (u) => mark(u, { baseline: null })], setScale: [(u, key) => key === "x" && follow(u)] },
    }, [data.times, data.times.map(() => 0)]);
  }

  function build() {
    for (const u of plots) u.destroy();
    plots = [];
    for (const element of document.querySelectorAll("figure[data-plot]")) {
      const host = element.querySelector(".plot"), legend = element.querySelector(".legend");
      const spec = data.plots.find((plot) => plot.id === element.dataset.plot);
      if (element.dataset.plot === "timeline") timeline(host, legend);
      else if (spec && spec.lines.some((line) => line.values.some((value) => value !== null))) linePlot(host, legend, spec);
      else host.replaceChildren(Object.assign(document.createElement("p"), { className: "empty", textContent: "No values." }));
    }
  }

  if (data.times.length < 2) return;
  build();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    for (const u of plots) u.setSize({ width: Math.max(220, u.root.parentElement.clientWidth), height: u.height });
  }).observe(document.body);
})();
