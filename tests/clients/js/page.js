// What tests do in the page, step by step: a web site of another origin than the back end.
/* global OpenEO, OidcProvider */
let connection;

OidcProvider.uiMethod = "popup";
// The window in which a login ends hands its code to the page that opened it.
if (window.location.search.includes("code=")) OidcProvider.signinCallback();

async function connect(url) {
  connection = await OpenEO.connect(url);
  return (await connection.listAuthProviders()).map((p) => p.getProviderId());
}

async function logInByPassword(user, password) {
  await connection.authenticateBasic(user, password);
  return connection.describeAccount();
}

async function logInAtProvider(id) {
  const provider = (await connection.listAuthProviders()).find((p) => p.getProviderId() === id);
  // The provider of the tests asks for a nonce with every code; the client sends none in this flow.
  await provider.login({ extraQueryParams: { nonce: crypto.randomUUID() } });
  return connection.describeAccount();
}

async function listed() {
  const { collections } = await connection.listCollections();
  const { processes } = await connection.listProcesses();
  return { collections: collections.map((c) => c.id), processes: processes.map((p) => p.id) };
}

/** Draw a picture; its size and pixels (red, green, blue, opacity). */
async function drawn(blob) {
  const picture = await createImageBitmap(blob);
  const canvas = document.getElementById("result");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, picture.width, picture.height).data;
  return { width: picture.width, height: picture.height, pixels: Array.from(pixels) };
}

/** As the Web Editor does it, which sends more than the API knows. */
async function runAtOnce(process) {
  const { data, type } = await connection.computeResult(process, null, null, null, { isTrusted: true });
  return { type, ...(await drawn(data)) };
}

async function runAsJob(process) {
  const job = await connection.createJob(process, "from a page");
  await job.startJob();
  while (["created", "queued", "running"].includes(job.status)) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await job.describeJob();
  }
  const [asset] = await job.listResults();
  const answer = await fetch(asset.href);
  return { status: job.status, type: asset.type, ...(await drawn(await answer.blob())) };
}

async function refused(path) {
  const answer = await fetch(connection.getUrl() + path);
  return { status: answer.status, code: (await answer.json()).code };
}
