// cltrain embed: the embeddings of a data set as .npy files with a manifest, and an index of them.
#include "dist/exit_codes.h"
#include "eval/embedding_files.h"
#include "eval/similarity_index.h"
#include "launcher/commands/commands.h"
#include "launcher/opened_run.h"
#include "train/weights.h"

#include <filesystem>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

class EmbedCommand : public Command {
 public:
  void describe(OptionTable& flags) override {
    cltrain::describe(flags, choice_);
    flags.add("--split", split_,
              {.doc = "which part of the data set", .choices = {"train", "test"}});
    flags.add("--out", out_,
              {.doc = "the embeddings, .npy; ids, labels and manifest go beside them"});
    flags.add("--index", index_,
              {.doc = "also write a faiss index for cosine similarity: exact, or a graph for "
                      "millions of rows",
               .choices = {"none", "flat", "hnsw"}});
    flags.add("--normalize", normalize_, {.doc = "write rows of unit length"});
  }

  int run(const Invocation& invocation) override {
    check_output("--out", out_, ".npy");
    auto run = open_run(choice_, invocation.overrides, invocation.rank);
    require_pictures(run->options(), "embed");
    const Dataset* dataset =
        split_ == "train" ? run->data.seen.train.get() : run->data.seen.test.get();
    if (dataset == nullptr)
      throw DataError("--split " + split_ +
                      ": this data set has no such part: " + run->data.seen.note);
    const Features share =
        embed_share(*dataset, run->options().augment, encoder_of(*run), embed_settings(*run));
    total_left_out(share, *dataset, *run->communicators.control);
    const AugmentOptions& views = run->options().augment;
    const EmbeddingManifest manifest = write_embeddings(
        share,
        {.run = choice_.run.empty() ? choice_.config
                                    : fs::absolute(choice_.run).lexically_normal().string(),
         .step = run->step,
         .weights_sha256 = backbone_sha256(backbone_of(*run->method)),
         .data_set = dataset->describe(),
         .split = split_,
         .transform = "shorter side resized, centre of " + std::to_string(views.size) +
                      " pixels, normalised by augment.mean and augment.std",
         .normalized = normalize_},
        out_, *run->communicators.control);
    say(run->world, "wrote " + out_ + ": " + std::to_string(manifest.rows) + " x " +
                        std::to_string(manifest.width) + ", " + run->weights + ", " +
                        dataset->describe() + "\n");
    if (manifest.left_out > 0)
      say(run->world, "WARNING: " + std::to_string(manifest.left_out) + " samples were left out\n");
    if (run->world.rank == 0 && index_ != "none")
      say(run->world, "wrote " + write_index(out_, index_).string() + "\n");
    run->communicators.control->barrier();
    close_run(std::move(run));
    return kDone;
  }

 private:
  RunChoice choice_;
  std::string split_ = "test", out_ = "emb.npy", index_ = "none";
  bool normalize_ = false;
};

}  // namespace

std::unique_ptr<Command> make_embed_command() {
  return std::make_unique<EmbedCommand>();
}

}  // namespace cltrain
