
// Votes without leaving the page; without this script the form is sent and the page comes again.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches(".vote")) return;
  event.preventDefault();
  const button = form.querySelector("button");
  const answer = await fetch(form.action, {
    method: "POST", headers: { "accept": "application/json" }, body: new URLSearchParams(new FormData(form)),
  });
  if (!answer.ok) { // the server's page says why
    form.submit();
    return;
  }
  button.querySelector("b").textContent = (await answer.json()).votes;
  button.disabled = true;
});
