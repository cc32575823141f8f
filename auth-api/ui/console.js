"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const applyColors = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", applyColors);
applyColors();

const ACCESS_TOKEN = "accessToken";

// Keeps the access token of a sign-in or a refresh in memory, until the page is closed or the session ends.
function keepToken(response) {
  const path = new URL(response.url, location.href).pathname.replace(/\/$/, "");
  if (response.status === 200 && path === "/api/user/login") {
    ui.preauthorizeApiKey(ACCESS_TOKEN, response.body.tokens.access);
  } else if (response.status === 200 && path === "/api/user/refresh") {
    ui.preauthorizeApiKey(ACCESS_TOKEN, response.body.access);
  } else if (response.status === 204 && ["/api/user/logout", "/api/user/me"].includes(path)) {
    ui.authActions.logout([ACCESS_TOKEN]);
  }
  return response;
}

// Shows a chosen picture below its input.
document.addEventListener("change", ({ target }) => {
  if (target.type !== "file") return;
  target.parentNode.querySelector(".preview")?.remove();
  const [file] = target.files;
  if (!file?.type.startsWith("image/")) return;
  const preview = new Image();
  preview.className = "preview";
  preview.alt = `Preview of ${file.name}`;
  preview.onload = () => URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  target.parentNode.append(preview);
});

const ui = SwaggerUIBundle({
  url: "/api/user/openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  defaultModelsExpandDepth: -1,
  displayRequestDuration: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
  responseInterceptor: keepToken,
});
