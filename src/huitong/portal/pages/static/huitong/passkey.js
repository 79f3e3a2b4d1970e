// Passkeys: asks the browser to make or to show one, then sends the form. The button is there only where that can work.
const can = window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON && PublicKeyCredential.parseCreationOptionsFromJSON;

for (const place of document.querySelectorAll("[data-passkey]")) {
  if (!can) continue;
  place.hidden = false;
  place.querySelector("button").addEventListener("click", async () => {
    const options = JSON.parse(place.dataset.passkey).publicKey;
    const form = place.closest("form");
    try {
      const credential = place.dataset.act === "create"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      form.elements.credential.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch {
      place.querySelector("button").focus();
    }
  });
}
