#include "data/sequences/atomic_inter.h"

#include "sequence_files.h"

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Lists;
using testing::TemporaryFolder;
using testing::write_text;
using Names = std::vector<std::string>;

constexpr const char* kHeader = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n";

Interactions read_text(const std::string& text, const AtomicInterOptions& options = {}) {
  const TemporaryFolder folder;
  return read_atomic_inter(write_text(folder, text, "set.inter"), options);
}

TEST(AtomicInter, SortsByTimeStablyAndNumbersByTheFile) {
  const Interactions set = read_text(std::string(kHeader) +
                                     "bo\tx\t3\t30\n"
                                     "al\ty\t4.5\t20\n"
                                     "bo\ty\t1\t10\n"
                                     "al\tz z\t2\t20\n"
                                     "al\tx\t5\t1e1\n"
                                     "bo\tw\t0\t10");
  EXPECT_EQ(set.user_names, (Names{"bo", "al"}));
  EXPECT_EQ(set.item_names, (Names{"", "x", "y", "z z", "w"}));
  EXPECT_EQ(set.items(), 4);
  EXPECT_EQ(testing::lists_of(set), (Lists{{2, 4, 1}, {1, 2, 3}}));
  EXPECT_EQ(set.ratings, (std::vector<float>{1, 0, 3, 5, 4.5, 2}));
  EXPECT_EQ(set.item_name(3), "z z");
}

TEST(AtomicInter, ColumnsInAnyOrderAndMore) {
  const Interactions set = read_text(
      "timestamp:float\tnote:token_seq\titem_id:token\tuser_id:token\r\n"
      "2\thallo you\ta\t1\r\n"
      "1\t\tb\t1\r\n");
  EXPECT_EQ(testing::lists_of(set), (Lists{{2, 1}}));
  EXPECT_EQ(set.item_names, (Names{"", "a", "b"}));
  EXPECT_TRUE(set.ratings.empty());
}

TEST(AtomicInter, WithoutTimesTheOrderOfTheFile) {
  const Interactions set = read_text("user_id\titem_id\n5\tb\n6\ta\n5\ta\n5\tb\n");
  EXPECT_EQ(testing::lists_of(set), (Lists{{1, 2, 1}, {2}}));
}

TEST(AtomicInter, LeastRating) {
  const Interactions set =
      read_text(std::string(kHeader) + "1\ta\t3\t1\n2\tb\t4\t2\n2\tc\t5\t1\n1\tb\t4.5\t0\n",
                {.least_rating = 4});
  EXPECT_EQ(set.user_names, (Names{"2", "1"}));
  EXPECT_EQ(set.item_names, (Names{"", "b", "c"}));
  EXPECT_EQ(testing::lists_of(set), (Lists{{2, 1}, {1}}));
  EXPECT_EQ(set.ratings, (std::vector<float>{5, 4, 4.5}));
  EXPECT_MENTIONS(set.description, "ratings from 4");
}

TEST(AtomicInter, NamesFileAndLineOfWhatIsWrong) {
  struct Case {
    std::string text, part;
    AtomicInterOptions options = {};
  };
  const std::string header = kHeader;
  for (const Case& wrong : std::vector<Case>{
           {"", ":1: an empty file"},
           {header, ":1: no interactions after the header"},
           {"user_id:token\tmovie:token\n1\t2\n",
            ":1: no column item_id; the header has 'user_id:token\\x09movie:token', needed"},
           {"item_id:token\n1\n", ":1: no column user_id"},
           {"user_id:token\titem_id:token\tuser_id:float\n", ":1: two columns user_id"},
           {header + "1\t2\tgood\t4\n", ":2: rating 'good' is no finite number"},
           {header + "1\t2\tnan\t4\n", ":2: rating 'nan' is no finite number"},
           {header + "1\t2\t3\t4\n\n1\t2\t3\t\n", ":4: timestamp '' is no finite number"},
           {header + "1\t2\t3\t1997-12-04\n", ":2: timestamp '1997-12-04' is no finite"},
           {header + "1\t2\t3\n", ":2: 3 fields, expected 4"},
           {header + "1\t2\t3\t4\t5\n", ":2: 5 fields, expected 4"},
           {header + "1 2 3 4\n", ":2: 1 fields, expected 4"},
           {header + "1\t\t3\t4\n", ":2: item_id is empty"},
           {header + "1\t2\t3\t4\n", ":2: no interactions with a rating from 4", {4.0}},
           {"user_id\titem_id\n1\t2\n", ":1: interactions are to be kept from rating 4", {4.0}}}) {
    const TemporaryFolder folder;
    const auto path = write_text(folder, wrong.text, "set.inter");
    const std::string message =
        testing::data_error([&] { read_atomic_inter(path, wrong.options); });
    EXPECT_EQ(message.find(path.string() + wrong.part), 0u) << message;
  }
}

}  // namespace
}  // namespace cltrain
