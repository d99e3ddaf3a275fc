// Tells what yauzl or fflate sees in archives; see views.py.
const crypto = require("crypto");
const fs = require("fs");
const readline = require("readline");

const tell = (name, hash) =>
  `${Buffer.from(name, "utf8").toString("hex")}=${hash.digest("hex").slice(0, 16)}`;

const viewByYauzl = (path) =>
  new Promise((resolve, reject) => {
    require("yauzl").open(path, { lazyEntries: true }, (error, archive) => {
      if (error) return reject(error);
      const told = [];
      archive.on("error", reject);
      archive.on("end", () => resolve(told));
      archive.on("entry", (entry) => {
        if (entry.fileName.endsWith("/")) return archive.readEntry();
        archive.openReadStream(entry, (error, contents) => {
          if (error) return reject(error);
          const hash = crypto.createHash("sha256");
          contents.on("error", reject);
          contents.on("data", (chunk) => hash.update(chunk));
          contents.on("end", () => {
            told.push(tell(entry.fileName, hash));
            archive.readEntry();
          });
        });
      });
      archive.readEntry();
    });
  });

const viewByFflate = async (path) => {
  const found = require("fflate").unzipSync(fs.readFileSync(path));
  return Object.entries(found)
    .filter(([name]) => !name.endsWith("/"))
    .map(([name, data]) => tell(name, crypto.createHash("sha256").update(data)));
};

// What is thrown where nobody catches it, and what never ends, are refusals, too.
let fail = () => {};
process.on("uncaughtException", () => fail());
const PATIENCE_MS = 30_000;

const view = { yauzl: viewByYauzl, fflate: viewByFflate }[process.argv[2]];
const viewOrFail = (path) =>
  new Promise((resolve, reject) => {
    fail = reject;
    const timer = setTimeout(reject, PATIENCE_MS);
    view(path).then(resolve, reject).finally(() => clearTimeout(timer));
  });

(async () => {
  for await (const path of readline.createInterface({ input: process.stdin })) {
    try {
      console.log((await viewOrFail(path)).join(" "));
    } catch (error) {
      console.log("refused");
    }
  }
})();
