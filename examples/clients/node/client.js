// One picture, one text, then many pictures over one stream:
//   cd examples/clients/node && npm install && node client.js [HOST:PORT]
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const definition = loader.loadSync(["tianzi/v1/ocr.proto", "tianzi/v1/cloze.proto"], {
  includeDirs: [`${root}/proto`, fileURLToPath(new URL(".", import.meta.url))],
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { tianzi } = grpc.loadPackageDefinition(definition);

const address = process.argv[2] ?? "localhost:50051";
const options = {
  // Calls go round all servers that the address stands for; one that is away is asked again.
  "grpc.service_config": JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: [
      {
        name: [{}],
        retryPolicy: {
          maxAttempts: 4,
          initialBackoff: "0.1s",
          maxBackoff: "2s",
          backoffMultiplier: 2,
          retryableStatusCodes: ["UNAVAILABLE"],
        },
      },
    ],
  }),
};
const ocr = new tianzi.v1.OcrService(address, grpc.credentials.createInsecure(), options);
const cloze = new tianzi.v1.ClozeService(address, grpc.credentials.createInsecure(), options);
const recognize = promisify(ocr.Recognize).bind(ocr);
const fill = promisify(cloze.Fill).bind(cloze);
const picture = (name) => readFileSync(`${root}/examples/${name}`);
const deadline = () => ({ deadline: Date.now() + 10_000 });

const recognition = await recognize({ image: picture("tian.png"), topK: 3 }, new grpc.Metadata(), deadline());
console.log(recognition.candidates.map(({ text, confidence }) => `${text} ${confidence.toFixed(2)}`).join("  "));

const filling = await fill({ text: "小猫钓鱼，____很高兴。", topK: 2 }, new grpc.Metadata(), deadline());
console.log(filling.blanks[0].candidates.map(({ text }) => text).join(" "));

try {
  await recognize({ image: Buffer.from("no picture") }, new grpc.Metadata(), deadline());
} catch (error) {
  console.log(grpc.status[error.code], error.details);
}

// A stream: answers carry the id of what they answer, and a bad picture is an error of its own item.
const stream = ocr.StreamRecognize(deadline());
const names = ["tian.png", "zi.png", "8.png", "stories.jsonl"];
for (const id of names) stream.write({ id, request: { image: picture(id) } });
stream.end();
for await (const { id, ok, error } of stream) {
  console.log(id, ok ? ok.candidates[0].text : error.message);
}
ocr.close();
cloze.close();
