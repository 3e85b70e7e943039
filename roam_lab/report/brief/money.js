// Costs and the sentence on money, worked out anew whenever a price, the currency, GPUs or hours are edited. Reads the
// page's own figures; sends nothing anywhere.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const inputs = Object.fromEntries(
    [...document.querySelectorAll("input[data-price]")].map((input) => [input.dataset.price, input]),
  );
  const worth = document.getElementById("worth");
  const number = (id) => Number.parseFloat(document.getElementById(id).value);
  const each = figures.samples ? "per million samples" : "per million steps";
  const LITTLE = 0.01; // a difference of less than this part is no saving

  const price = (device) => Number.parseFloat(inputs[device].value);
  const money = (value) => {
    const digits = value >= 100 ? 0 : value >= 1 ? 2 : value >= 0.1 ? 3 : 6;
    const currency = document.getElementById("currency").value.trim();
    const text = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return currency ? `${text} ${currency}` : text;
  };
  const cost = (way, device) => {
    const seconds = way.seconds[device];
    if (seconds === undefined || !(price(device) >= 0)) return undefined;
    return ((price(device) / 3600) * seconds * 1e6) / (figures.samples || 1);
  };
  const holding = (way) => figures.devices.filter((device) => way.outcome[device] === "fits");
  const cheapest = (way) =>
    holding(way)
      .map((device) => ({ way, device, cost: cost(way, device) }))
      .filter((found) => found.cost !== undefined)
      .sort((a, b) => a.cost - b.cost)[0];
  const best = (ways) =>
    ways
      .map(cheapest)
      .filter((found) => found)
      .sort((a, b) => a.cost - b.cost)[0];
  const told = (found) => `${found.device}: ${money(found.cost)} ${each}`;
  const known = (device) => (figures.measured.includes(device) ? "measured" : "by roofline");

  const unknown = (eager, plan) => {
    const priced = (way) =>
      holding(way)
        .filter((device) => price(device) >= 0)
        .sort((a, b) => price(a) - price(b))[0];
    const [before, after] = [priced(eager), priced(plan)];
    if (!after) return "No GPU of the table that has a price holds this step with a margin, planned or not.";
    const ours = `With this plan the GPU of the lowest price is ${after} at ${money(price(after))} an hour`;
    const plain = before ? `, with plain PyTorch ${before} at ${money(price(before))}` : "; plain PyTorch fits on none";
    return `${ours}${plain}. Speed unknown: a slower GPU takes longer, so no saving is told.`;
  };

  const sentence = () => {
    const [eager, plan, ...others] = figures.ways;
    const ours = best([plan, ...others.filter((way) => way.ours)]);
    const plain = cheapest(eager);
    if (!figures.devices.some((device) => price(device) >= 0))
      return "Money: type prices into the table below, and this sentence tells what the plan saves, if anything.";
    if (!figures.ways.some((way) => Object.keys(way.seconds).length)) return unknown(eager, plan);
    if (!ours) return "No GPU of the table that has a price holds this step with a margin, planned or not.";
    const named = ours.way === plan ? "this plan" : ours.way.name;
    let text;
    if (!plain) {
      text = `Plain PyTorch fits with a margin on none of these GPUs; ${named} does. Cheapest: ${told(ours)} (${known(ours.device)}).`;
    } else if (ours.cost < plain.cost * (1 - LITTLE)) {
      const part = 1 - ours.cost / plain.cost;
      const month = number("gpus") * number("hours") * price(plain.device) * part;
      text =
        `Money: plain PyTorch is cheapest on ${told(plain)}; ${named} on ${told(ours)} (${known(ours.device)}), ` +
        `${(100 * part).toFixed(0)} % less.` +
        (month >= 0 ? ` The same work as ${number("gpus")} x ${plain.device} for ${number("hours")} hours a month costs ${money(month)} less.` : "");
    } else {
      const same = ours.device === plain.device ? "with or without a plan" : `with plain PyTorch, and ${ours.device} with ${named}`;
      text =
        `Money: none is saved at ${figures.size || "this size"}. ${plain.device} is the cheapest GPU per ${figures.samples ? "sample" : "step"} (${known(plain.device)}) ` +
        `${same}. What the plan gives there is memory: for a larger batch, or a larger model.`;
    }
    const free = best(others.filter((way) => !way.ours));
    const least = Math.min(ours.cost, plain ? plain.cost : ours.cost);
    const saves = !plain || ours.cost < plain.cost * (1 - LITTLE);
    const bits = free && !free.way.same ? ", with other numbers" : "";
    if (free && free.cost < least * (1 - LITTLE)) {
      text += ` Cheaper still without a plan${bits}: ${free.way.name} on ${told(free)}.`;
    } else if (free && saves) {
      text += ` The cheapest without a plan${bits}: ${free.way.name} on ${told(free)}.`;
    }
    return text;
  };

  const tell = () => {
    for (const cell of document.querySelectorAll("td[data-cost]")) {
      const way = figures.ways[Number(cell.dataset.cost)];
      const device = cell.dataset.device;
      const found = cost(way, device);
      if (way.outcome[device] === "too large") cell.textContent = "–";
      else if (found !== undefined) cell.textContent = money(found);
      else cell.textContent = way.seconds[device] === undefined ? "speed unknown" : "no price";
    }
    for (const cell of document.querySelectorAll("td[data-cheapest]")) {
      const way = figures.ways[Number(cell.dataset.cheapest)];
      const found = cheapest(way);
      if (found) cell.textContent = `${money(found.cost)} on ${found.device}`;
      else cell.textContent = Object.keys(way.seconds).length ? "none fits" : "speed unknown";
    }
    worth.textContent = sentence();
  };
  document.addEventListener("input", tell);
  tell();
})();
