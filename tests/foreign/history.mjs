// HistoryRead as node-opcua's client does it: raw both ways, bounds, paging, at time, every aggregate.
import {
  AggregateFunction,
  HistoryReadRequest,
  ReadAtTimeDetails,
  ReadRawModifiedDetails,
  TimestampsToReturn,
  readHistoryServerCapabilities,
} from "node-opcua-client";
import { args, withSession } from "./client.mjs";

const [nodeId, startText, longText, stepText] = args;
const start = Number(startText);
const at = (seconds) => new Date(start + seconds * 1000);
const plain = (values) => values.map((v) => [v.sourceTimestamp.getTime(), v.value?.value ?? null, v.statusCode.value]);

await withSession(async (session) => {
  const raw = async (from, to, options) => {
    const result = await session.readHistoryValue({ nodeId }, from, to, options);
    return { status: result.statusCode.name, values: plain(result.historyData.dataValues) };
  };
  const told = {
    forward: await raw(at(0), at(60), { returnBounds: false }),
    backward: await raw(at(60), at(0), { returnBounds: false }),
    bounds: await raw(at(0.5), at(3.5), { returnBounds: true }),
    first: await raw(at(-1.5), at(2), { returnBounds: true }),
    nothing: await raw(at(-100), at(-50), { returnBounds: false }),
  };

  const page = async (continuationPoint, releaseContinuationPoints = false) => {
    const request = new HistoryReadRequest({
      historyReadDetails: new ReadRawModifiedDetails({
        isReadModified: false,
        startTime: at(0),
        endTime: at(Number(longText)),
        numValuesPerNode: 7_000,
        returnBounds: false,
      }),
      timestampsToReturn: TimestampsToReturn.Both,
      releaseContinuationPoints,
      nodesToRead: [{ nodeId, continuationPoint }],
    });
    return (await session.historyRead(request)).results[0];
  };
  let [count, sum, pages, last, rising] = [0, 0, 0, 0, true];
  let point;
  const began = Date.now();
  do {
    const result = await page(point);
    for (const v of result.historyData.dataValues) {
      const time = v.sourceTimestamp.getTime();
      rising &&= time > last;
      last = time;
      count += 1;
      sum += v.value?.value ?? 0;
    }
    pages += 1;
    point = result.continuationPoint;
  } while (point && point.length);
  told.long = { count, sum, pages, last, rising, ms: Date.now() - began };
  const held = (await page()).continuationPoint;
  told.released = [(await page(held, true)).statusCode.name, (await page(held)).statusCode.name];

  const request = new HistoryReadRequest({
    historyReadDetails: new ReadAtTimeDetails({ reqTimes: [at(10.25), at(3), at(27)], useSimpleBounds: false }),
    timestampsToReturn: TimestampsToReturn.Both,
    releaseContinuationPoints: false,
    nodesToRead: [{ nodeId }],
  });
  told.atTime = plain((await session.historyRead(request)).results[0].historyData.dataValues);

  told.aggregates = {};
  for (const name of [
    "Interpolative", "Average", "TimeAverage", "Minimum", "Maximum", "MinimumActualTime", "MaximumActualTime", "Range",
    "Count", "DurationGood", "PercentGood", "Start", "End", "Delta", "StandardDeviationSample",
    "StandardDeviationPopulation",
  ]) {
    const which = AggregateFunction[name];
    const result = await session.readAggregateValue({ nodeId }, at(-7), at(290), which, Number(stepText) * 1000);
    told.aggregates[which] = { name, status: result.statusCode.name, values: plain(result.historyData.dataValues) };
  }
  const capabilities = await readHistoryServerCapabilities(session);
  told.capabilities = Object.fromEntries(Object.entries(capabilities).map(([name, { value }]) => [name, value]));
  return told;
});
