const token = localStorage.getItem("token");
fetch("api/deliveries?limit=100", { headers: token ? { Authorization: `Bearer ${token}` } : {} })
  .then(async (answer) => {
    const found = await answer.json();
    document.getElementById("said").textContent = answer.ok
      ? `${found.total} deliveries, ${found.outstanding} outstanding. ${found.problems.join(" ")}`
      : found.detail;
    for (const one of found.deliveries ?? []) {
      const row = document.createElement("tr");
      const cells = [one.created_at, one.data_source, one.state_words, one.rows_read, one.lines, one.stored];
      for (const text of cells) {
        const cell = document.createElement("td");
        cell.textContent = text ?? "–";
        row.append(cell);
      }
      document.getElementById("rows").append(row);
    }
  });
