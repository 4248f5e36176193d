// Ids by path inside this folder: the numbers that are the default depend on where the folder lies, and the committed
// bundle must come out the same on every machine.
module.exports = {
  optimization: { moduleIds: 'named', chunkIds: 'named' }
};
