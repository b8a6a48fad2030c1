// Runs a process graph by the openEO JavaScript client, at once and as a batch job.
//
//     NODE_PATH=<folder of packages> node crop_type.cjs URL USER PASSWORD GRAPH.json OUT
//
// Writes OUT/sync.tif and the job's files into OUT/batch; prints what it saw as JSON.
const fs = require("node:fs");
const path = require("node:path");
const { OpenEO } = require("@openeo/js-client");

/** Wait until a job has ended; its log. */
function ended(job) {
  return new Promise((resolve, reject) => {
    const lines = [];
    const stop = job.monitorJob((current, logs) => {
      lines.push(...logs);
      if (["finished", "error", "canceled"].includes(current.status)) {
        stop();
        resolve(lines);
      }
    }, 1);
    setTimeout(() => { stop(); reject(new Error("The job takes too long.")); }, 600_000).unref();
  });
}

async function main(url, user, password, processFile, out) {
  const process = JSON.parse(fs.readFileSync(processFile, "utf8"));
  const connection = await OpenEO.connect(url);
  await connection.authenticateBasic(user, password);
  const seen = {
    apiVersion: connection.capabilities().apiVersion(),
    user: (await connection.describeAccount()).user_id,
    collections: (await connection.listCollections()).collections.map((c) => c.id),
    processes: (await connection.listProcesses()).processes.map((p) => p.id),
    errors: await connection.validateProcess(process),
  };

  fs.mkdirSync(path.join(out, "batch"), { recursive: true });
  await connection.downloadResult(process, path.join(out, "sync.tif"));

  const job = await connection.createJob(process, "crop types");
  seen.created = job.status;
  seen.estimate = await job.estimateJob();
  await job.startJob();
  seen.logs = (await ended(job)).map((entry) => entry.message);
  seen.status = job.status;
  seen.listed = (await connection.listJobs()).map((j) => j.title);
  if (job.status === "finished") {
    const stac = await job.getResultsAsStac();
    seen.result = { type: stac.type, assets: Object.keys(stac.assets) };
    seen.files = await job.downloadResults(path.join(out, "batch"));
  }
  await job.deleteJob();
  console.log(JSON.stringify(seen));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.code ?? "", error.message, error.stack);
  process.exit(1);
});
