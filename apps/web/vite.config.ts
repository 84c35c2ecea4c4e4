import { defineConfig } from "vite";

// Relative addresses: the built page works wherever its folder is put, under a sub-path too.
export default defineConfig({
  base: "./",
  worker: { format: "es" },
  build: { target: "es2022", assetsInlineLimit: 0, chunkSizeWarningLimit: 200 },
});
