#include "configs/option_table.h"

#include "configs/nearest.h"
#include "configs/scalar_text.h"
#include "tests/configs/config_folder.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

TEST(Scalars, WholeNumbersAreDecimal) {
  int64_t value = -7;
  EXPECT_EQ(read_int("1_000_000", value), "");
  EXPECT_EQ(value, 1000000);
  EXPECT_EQ(read_int("-9223372036854775808", value), "");
  EXPECT_EQ(value, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(read_int("+5", value), "");
  EXPECT_EQ(value, 5);
  for (const char* bad : {"010", "-01", "0x10", "0b1", "1e3", "1.0", "", " 1", "1 ", "_1", "1_",
                          "--1", "+-1", "1__0", "9223372036854775808", "one", "1,000"}) {
    EXPECT_NE(read_int(bad, value), "") << bad;
    EXPECT_EQ(value, 5) << bad;
  }
}

TEST(Scalars, NumbersAreFiniteDecimals) {
  double value = -7;
  EXPECT_EQ(read_float("1e-3", value), "");
  EXPECT_EQ(value, 0.001);
  EXPECT_EQ(read_float(".5", value), "");
  EXPECT_EQ(value, 0.5);
  EXPECT_EQ(read_float("1_000.25", value), "");
  EXPECT_EQ(value, 1000.25);
  EXPECT_EQ(read_float("0", value), "");
  EXPECT_EQ(value, 0);
  for (const char* bad :
       {"inf", "-inf", "nan", ".inf", ".nan", "infinity", "NaN", "1e999", "1e-999", "0x1p3", "010",
        "", "1.2.3", "e5", "-", "1._5", "1 e5", "0.1f"}) {
    EXPECT_NE(read_float(bad, value), "") << bad;
    EXPECT_EQ(value, 0) << bad;
  }
}

TEST(Scalars, BoolsAreTrueOrFalse) {
  bool value = true;
  EXPECT_EQ(read_bool("false", value), "");
  EXPECT_FALSE(value);
  for (const char* word : {"yes", "no", "on", "off", "True", "FALSE", "y", "N"}) {
    EXPECT_NE(read_bool(word, value).find("use true or false"), std::string::npos) << word;
  }
  for (const char* bad : {"1", "0", "", "null", "t"}) EXPECT_NE(read_bool(bad, value), "") << bad;
  EXPECT_FALSE(value);
}

TEST(Scalars, WrittenFloatsReadBackExactly) {
  std::mt19937_64 bits(1);
  int finite = 0;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t word = bits();
    double value = 0, read = 0;
    std::memcpy(&value, &word, sizeof value);
    if (!std::isfinite(value)) continue;
    ++finite;
    ASSERT_EQ(read_float(write_float(value), read), "") << write_float(value);
    ASSERT_EQ(std::memcmp(&value, &read, sizeof value), 0) << write_float(value);
  }
  EXPECT_GT(finite, 19000);
}

TEST(Scalars, OnlyUnambiguousTextIsBare) {
  EXPECT_EQ(write_string("runs/a-b_c.1"), "runs/a-b_c.1");
  EXPECT_EQ(write_string("../x"), "../x");
  for (const char* text : {"", "12", "1e3", "true", "No", "null", "~", "a b", "a,b", "a: b", "#x",
                           ".5", "-x", "[a]", "*x", "é", "a\"b"}) {
    EXPECT_EQ(write_string(text).front(), '"') << text;
  }
  EXPECT_EQ(write_string("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\n\\x01\"");
}

TEST(Scalars, FirstByteThatIsNoText) {
  EXPECT_EQ(first_non_text("plain\ttext\n\xc3\xa9\xf0\x9f\x98\x80"), std::string::npos);
  EXPECT_EQ(first_non_text(std::string_view("a\0b", 3)), 1u);
  EXPECT_EQ(first_non_text("ab\xff"), 2u);
  EXPECT_EQ(first_non_text("a\xc3"), 1u);             // cut short
  EXPECT_EQ(first_non_text("\xc0\xaf"), 0u);          // overlong
  EXPECT_EQ(first_non_text("\xed\xa0\x80"), 0u);      // surrogate
  EXPECT_EQ(first_non_text("\xf4\x90\x80\x80"), 0u);  // past U+10FFFF
}

TEST(Nearest, EditDistancesByHand) {
  EXPECT_EQ(edit_distance("kitten", "sitting", 9), 3u);
  EXPECT_EQ(edit_distance("", "abc", 9), 3u);
  EXPECT_EQ(edit_distance("lasr", "lars", 9), 1u);  // one swap
  EXPECT_EQ(edit_distance("ca", "abc", 9), 3u);     // where unrestricted Damerau-Levenshtein has 2
  EXPECT_EQ(edit_distance("kitten", "sitting", 2), 3u);
  EXPECT_EQ(edit_distance("a", "abcdefgh", 2), 3u);
}

TEST(Nearest, Options) {
  SampleOptions options;
  const OptionTable table = table_of(options);
  EXPECT_EQ(table.nearest("train.stepz"), "train.steps");
  EXPECT_EQ(table.nearest("optm.lr"), "optim.lr");
  EXPECT_EQ(table.nearest("optimizer.lr"), "optim.lr");            // the same last part
  EXPECT_EQ(table.nearest("train.global"), "train.global_batch");  // a prefix
  EXPECT_EQ(table.nearest("loader.global_bacth"), "train.global_batch");
  EXPECT_EQ(table.nearest("lr"), "optim.lr");
  EXPECT_EQ(table.nearest("quite_else"), "");
  EXPECT_EQ(table.nearest(""), "");
  EXPECT_EQ(table.nearest("x"), "");
}

TEST(Option, SaysWhatItIsAndAllows) {
  SampleOptions options;
  const OptionTable table = table_of(options);
  const auto allowed = [&](const char* name) { return table.find(name)->allowed(); };
  EXPECT_EQ(allowed("run.seed"), "a whole number >= 0");
  EXPECT_EQ(allowed("optim.lr"), "a number > 0");
  EXPECT_EQ(allowed("model.width"), "a number > 0 and <= 16");
  EXPECT_EQ(allowed("optim.name"), "one of sgd, lars, adamw");
  EXPECT_EQ(allowed("run.dir"), "text");
  EXPECT_EQ(allowed("data.scale"), "a list of numbers, each >= 0 and <= 1");
  EXPECT_EQ(allowed("optim.nesterov"), "true or false");
  EXPECT_EQ(table.find("data.index")->type_name(), "list of int");
  EXPECT_EQ(table.find("run.dtype")->type_name(), "string");
  EXPECT_EQ(table.find("model.width")->type_name(), "float");
  EXPECT_EQ(table.find("nothing"), nullptr);
  EXPECT_TRUE(table.is_section("optim"));
  EXPECT_FALSE(table.is_section("opt"));
  EXPECT_FALSE(table.is_section("optim.lr"));
}

TEST(Option, AssignsWithinTheSpecOrNotAtAll) {
  SampleOptions options;
  OptionTable table = table_of(options);
  EXPECT_EQ(table.find("optim.lr")->assign("0"), "is too small");
  EXPECT_EQ(options.lr, 0.3);
  EXPECT_EQ(table.find("optim.lr")->assign("1e-9"), "");
  EXPECT_EQ(options.lr, 1e-9);
  EXPECT_EQ(table.find("model.width")->assign("16"), "");
  EXPECT_EQ(table.find("model.width")->assign("16.5"), "is too large");
  EXPECT_EQ(options.width, 16);
  EXPECT_EQ(table.find("run.seed")->assign("0"), "");
  EXPECT_EQ(table.find("run.seed")->assign("-1"), "is too small");
  EXPECT_EQ(options.seed, 0);
  EXPECT_EQ(table.find("optim.name")->assign("adam"), "is not one of the choices");
  EXPECT_EQ(options.optimizer, "sgd");
  EXPECT_EQ(table.find("data.scale")->assign(std::vector<std::string>{"0.5", "2"}),
            "has item 2, \"2\", which is too large");
  EXPECT_EQ(options.scale, (std::vector<double>{0.08, 1}));
  EXPECT_EQ(table.find("data.scale")->assign(std::vector<std::string>{}), "");
  EXPECT_TRUE(options.scale.empty());
  EXPECT_EQ(table.find("data.scale")->assign("1"), "is not a list");
  EXPECT_NE(table.find("run.seed")->assign(std::vector<std::string>{"1"}), "");
  EXPECT_EQ(table.find("run.seed")->default_text(), "1");
}

TEST(OptionTable, RefusesMistakesOfItsProgrammer) {
  SampleOptions options;
  OptionTable table = table_of(options);
  double field = 2;
  EXPECT_THROW(table.add("optim.lr", field, {.doc = "again"}), std::logic_error);
  EXPECT_THROW(table.add("optim", field, {.doc = "a section"}), std::logic_error);
  EXPECT_THROW(table.add("optim.lr.scale", field, {.doc = "inside an option"}), std::logic_error);
  EXPECT_THROW(table.add("Optim.x", field, {.doc = "upper case"}), std::logic_error);
  EXPECT_THROW(table.add("optim..x", field, {.doc = "empty part"}), std::logic_error);
  EXPECT_THROW(table.add("optim.x", field, {.doc = "default out of range", .max = 1}),
               std::logic_error);
  std::string text = "c";
  EXPECT_THROW(table.add("optim.y", text, {.doc = "default no choice", .choices = {"a", "b"}}),
               std::logic_error);
  EXPECT_NO_THROW(table.add("optim.z", field, {.doc = "fine"}));
}

/// Options that take a number or a list read and write both.
TEST(OptionTable, OneValueMayStandForAll) {
  std::vector<double> blur{0.5};
  OptionTable table;
  table.add("augment.blur", blur, {.doc = "blur", .min = 0, .max = 1, .one_for_all = true});
  Option& option = *table.find("augment.blur");
  EXPECT_EQ(option.type_name(), "float or list");
  EXPECT_EQ(option.allowed(), "a number >= 0 and <= 1, or a list of numbers, each >= 0 and <= 1");
  EXPECT_TRUE(option.is_list());
  EXPECT_EQ(option.default_text(), "0.5");
  EXPECT_EQ(option.assign("0.25"), "");
  EXPECT_EQ(blur, (std::vector<double>{0.25}));
  EXPECT_EQ(option.format(), "0.25");
  EXPECT_EQ(option.assign(std::vector<std::string>{"1", "0.1"}), "");
  EXPECT_EQ(blur, (std::vector<double>{1, 0.1}));
  EXPECT_EQ(option.format(), "[1, 0.1]");
  EXPECT_EQ(option.assign("2"), "has item 1, \"2\", which is too large");
  EXPECT_EQ(option.assign("x"), "has item 1, \"x\", which is not a number");
  EXPECT_EQ(blur, (std::vector<double>{1, 0.1}));
}

}  // namespace
}  // namespace cltrain
