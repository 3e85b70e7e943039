// The sentence on money, worked out anew whenever a price is edited. Reads the table; sends nothing anywhere.
(() => {
  const rows = [...document.querySelectorAll("tr[data-device]")];
  const worth = document.getElementById("worth");
  const hours = document.getElementById("hours");
  const gpus = document.getElementById("gpus");
  if (!worth || !rows.length) return;
  const price = (row) => Number.parseFloat(row.querySelector("input").value);
  const cheapest = (run) =>
    rows
      .filter((row) => row.dataset[run] === "yes" && price(row) >= 0)
      .sort((a, b) => price(a) - price(b))[0];
  const money = (value) => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const tell = () => {
    const eager = cheapest("eager");
    const planned = cheapest("planned");
    const time = Number.parseFloat(hours.value) * Number.parseFloat(gpus.value);
    let text;
    if (!planned) text = "No GPU in the table with a price holds this step, planned or not.";
    else if (!eager)
      text = `Without the plan this step fits on none of these GPUs; with it, on ${planned.dataset.device} at ${money(price(planned))} an hour.`;
    else {
      const saved = price(eager) - price(planned);
      text =
        saved > 0
          ? `The cheapest GPU that holds this step: ${eager.dataset.device} at ${money(price(eager))} an hour without the plan, ` +
            `${planned.dataset.device} at ${money(price(planned))} with it. That saves ${money(saved)} an hour, ` +
            `${money(saved * time)} a month at these hours.`
          : `${planned.dataset.device} at ${money(price(planned))} an hour is the cheapest that holds this step, with the plan or without: ` +
            `at this batch size the plan saves no money on GPUs. What it gives there is room for a larger batch.`;
    }
    worth.textContent = text;
  };
  document.addEventListener("input", tell);
  tell();
})();
